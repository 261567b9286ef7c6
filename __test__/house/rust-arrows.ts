/** A use of one module of a crate by another. */
export interface Arrow {
  /** The module at the top of the crate in which the use stands; `lib` for the crate's root. */
  readonly from: string;
  /** The module at the top of the crate that is used. */
  readonly to: string;
  /** The file of the use, relative to the crate's `src`. */
  readonly file: string;
}

/** The modules at the top of a crate, by the files below its `src`. */
export function topModules(files: Iterable<string>): ReadonlySet<string> {
  return new Set([...files].map((file) => modulePath(file)[0] ?? 'lib'));
}

/**
 * Every use of one top module by another, whether it stands in a `use` or in the middle of an expression.
 * `files` maps each file below the crate's `src` to its text.
 */
export function arrowsOf(files: ReadonlyMap<string, string>): readonly Arrow[] {
  return [...files].flatMap(([file, text]) => {
    const from = modulePath(file)[0] ?? 'lib';
    const targets = new Set(usedPaths(file, withoutWords(text)).map(([top = 'lib']) => top));
    return [...targets].filter((to) => to !== from).map((to) => ({ from, to, file }));
  });
}

/** The faults of a crate's arrows, in words. A module may use the floors before its own and nothing else. */
export function offences(
  files: ReadonlyMap<string, string>,
  floors: readonly (readonly string[])[],
): readonly string[] {
  const modules = topModules(files.keys());
  const floorOf = new Map(floors.flatMap((names, floor) => names.map((name) => [name, floor] as const)));
  const unlisted = [...modules].filter((name) => !floorOf.has(name)).map((name) => `${name} has no floor`);
  const gone = [...floorOf.keys()].filter((name) => !modules.has(name)).map((name) => `${name} is no module`);
  const arrows = arrowsOf(files);
  const wrong = arrows.flatMap(({ from, to, file }) => {
    // A name that the root exports hides the module that it comes from.
    if (!modules.has(to) || to === 'lib') return [`${file} uses crate::${to}, which is no module`];
    const rises = (floorOf.get(to) ?? -1) >= (floorOf.get(from) ?? Infinity);
    return rises ? [`${file}: ${from} uses ${to}, which is not below it`] : [];
  });
  return [...unlisted, ...gone, ...wrong, ...circles(arrows)];
}

/** Each circle of modules once, in words. */
function circles(arrows: readonly Arrow[]): readonly string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) found.push(`a circle: ${[...path.slice(start), name].join(' → ')}`);
    if (start >= 0 || done.has(name)) return;
    for (const to of new Set(arrows.filter(({ from }) => from === name).map((arrow) => arrow.to))) {
      visit(to, [...path, name]);
    }
    done.add(name);
  };
  for (const { from } of arrows) visit(from, []);
  return found;
}

/** The paths, from the crate's root on, that a file uses by `crate::`, `super::` or `self::`. */
function usedPaths(file: string, code: string): readonly (readonly string[])[] {
  const paths: (readonly string[])[] = [];
  for (const match of code.matchAll(/\b(?:crate|super|self)(?:::super)*::/g)) {
    const [first, ...supers] = match[0].split('::').filter((part) => part !== '');
    const here = [...modulePath(file), ...inlineModules(code, match.index)];
    const ups = supers.length + (first === 'super' ? 1 : 0);
    const base = first === 'crate' ? [] : here.slice(0, Math.max(0, here.length - ups));
    for (const name of namesAt(code, match.index + match[0].length)) paths.push([...base, name]);
  }
  return paths;
}

/** The first names of the path or the group of paths that starts here. */
function namesAt(code: string, start: number): readonly string[] {
  if (code[start] !== '{') return /^\w+/.exec(code.slice(start)) ?? ['*'];
  let depth = 0;
  let end = start;
  let outer = '';
  do {
    const character = code[end] ?? '';
    if (character === '}') depth -= 1;
    if (depth === 1) outer += character;
    if (character === '{') depth += 1;
    end += 1;
  } while (depth > 0 && end < code.length);
  return outer.split(',').flatMap((path) => /^\s*(\w+)/.exec(path)?.[1] ?? []);
}

/** The names of the inline modules around a place in a file. */
function inlineModules(code: string, place: number): readonly string[] {
  const stack: string[] = [];
  for (const match of code.slice(0, place).matchAll(/\bmod (\w+) \{|[{}]/g)) {
    if (match[0] === '}') stack.pop();
    else stack.push(match[1] ?? '');
  }
  return stack.filter((name) => name !== '');
}

/** The module of a file: `file/lock.rs` is `file::lock`, `file/mod.rs` is `file`, `lib.rs` is the root. */
function modulePath(file: string): readonly string[] {
  const parts = file.replace(/\.rs$/, '').split('/');
  const last = parts.at(-1);
  return last === 'mod' || last === 'lib' ? parts.slice(0, -1) : parts;
}

/** The code without its comments, strings and characters. */
function withoutWords(text: string): string {
  return text.replaceAll(/\/\/.*|\/\*[^]*?\*\/|"(?:\\[^]|[^"\\])*"|'(?:\\.|[^'\\])'/g, "''");
}
