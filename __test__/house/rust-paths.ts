import { tokensOf, type Token } from './rust-tokens.ts';

/** A path that a file uses. */
export interface UsedPath {
  /** The names from the crate's root on; none for the root itself. */
  readonly path: readonly string[];
  /** The name that the path has where it is used: its last part, or another one after `as`; the root has none. */
  readonly as: string | undefined;
}

/** The words that begin a path of the crate. */
const STARTS: ReadonlySet<Token> = new Set(['crate', 'super', 'self']);

/** The module of a file: `file/lock.rs` is `file::lock`, `file/mod.rs` is `file`, `lib.rs` is the root. */
export function modulePath(file: string): readonly string[] {
  const parts = file.replace(/\.rs$/, '').split('/');
  const last = parts.at(-1);
  return last === 'mod' || last === 'lib' ? parts.slice(0, -1) : parts;
}

/**
 * The paths within the crate that a file uses, in a `use` and in the middle of an expression.
 * @param crate the name of the crate, by which a file must not use it
 * @param isModule says whether a path is a module with a file: a path may begin with the name of a module below its own
 */
export function usedPaths(
  file: string,
  text: string,
  crate: string,
  isModule: (path: readonly string[]) => boolean,
): readonly UsedPath[] {
  const tokens = tokensOf(text);
  const found: UsedPath[] = [];
  const around: Token[] = [];
  for (const [index, token] of tokens.entries()) {
    if (token === '{') around.push(tokens[index - 2] === 'mod' ? (tokens[index - 1] ?? '') : '');
    if (token === '}') around.pop();
    const isInside = tokens[index - 1] === '::' && token !== crate;
    const here = [...modulePath(file), ...around.filter((name) => name !== '')];
    const isName = /^[a-z_]\w*$/.test(token) && tokens[index + 1] === '::';
    const isOurs = token === crate || STARTS.has(token) || (isName && isModule([...here, token]));
    if (isOurs && !isInside && isPath(tokens, index))
      found.push(...leavesAt(tokens, index, here, crate).leaves);
  }
  return found;
}

/** The faults of a text that take a file or a crate by ways that `usedPaths` does not see, in words. */
export function hiddenWays(text: string): readonly string[] {
  const tokens = tokensOf(text);
  return tokens.flatMap((token, index) => {
    const [next, afterNext] = tokens.slice(index + 1);
    if (token === 'path' && next === '=' && afterNext === '""') return ['#[path]'];
    if (token === 'include' && next === '!') return ['include!'];
    return token === 'extern' && next === 'crate' ? ['extern crate'] : [];
  });
}

/** True where a path begins; false for a receiver `self`, and for a visibility such as `pub(super)`. */
function isPath(tokens: readonly Token[], index: number): boolean {
  const after = tokens[index + 1];
  if (after === '::') return true;
  const isVisibility = after === ')' && /^(?:\(|in)$/.test(tokens[index - 1] ?? '');
  return tokens[index] !== 'self' && !isVisibility;
}

/** The paths of a tree such as `super::{a::B, c as d}` that starts at `index`, and the place behind the tree. */
function leavesAt(
  tokens: readonly Token[],
  index: number,
  here: readonly string[],
  crate: string,
): { readonly leaves: readonly UsedPath[]; readonly end: number } {
  const path: string[] = [];
  let base: readonly string[] = here;
  let place = index;
  for (; ; place += 2) {
    const token = tokens[place] ?? '';
    if (token === '{') return groupAt(tokens, place, [...base, ...path], crate);
    if (token === 'crate' || token === crate) base = [];
    else if (token === 'super') base = base.slice(0, -1);
    else if (token !== 'self') path.push(token);
    if (tokens[place + 1] !== '::' || tokens[place + 2] === '<') break;
  }
  const isRenamed = tokens[place + 1] === 'as';
  const whole = [...base, ...path];
  const leaf = { path: whole, as: isRenamed ? tokens[place + 2] : whole.at(-1) };
  return { leaves: [leaf], end: place + (isRenamed ? 3 : 1) };
}

/** The paths of a group in braces, all of which begin with `base`. */
function groupAt(
  tokens: readonly Token[],
  index: number,
  base: readonly string[],
  crate: string,
): { readonly leaves: readonly UsedPath[]; readonly end: number } {
  const leaves: UsedPath[] = [];
  let place = index + 1;
  while (place < tokens.length && tokens[place] !== '}') {
    if (tokens[place] === ',') place += 1;
    else {
      const part = leavesAt(tokens, place, base, crate);
      leaves.push(...part.leaves);
      place = part.end;
    }
  }
  return { leaves, end: place + 1 };
}
