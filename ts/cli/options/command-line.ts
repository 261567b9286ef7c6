import { parseArgs } from 'node:util';

import { UsageError } from '../exit-codes.ts';
import { hintOf, type OptionDef, type OptionDefs, type ValueOf } from './option-def.ts';

/** The arguments of one command, checked against its definitions. */
export class CommandLine<D extends OptionDefs = OptionDefs> {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  flag(name: keyof D & string): boolean {
    return this.#values.has(name);
  }

  value<N extends keyof D & string>(name: N): Value<D[N]> {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `parseCommandLine` has compared it with the definition
    return this.#values.get(name)?.[0] as Value<D[N]>;
  }

  values(name: keyof D & string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

type Value<D extends OptionDef> = ValueOf<D> | (D extends { readonly required: true } ? never : undefined);

/**
 * Parses the arguments by name. Node's parser splits them. Errors that it accepts are refused here: unknown options,
 * repeated ones, missing values. The message names the option and the expected value.
 * @throws {UsageError}
 */
export function parseCommandLine<D extends OptionDefs>(args: readonly string[], defs: D): CommandLine<D> {
  const { tokens } = parseArgs({
    args: [...args],
    options: optionTypes(defs),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const add = (name: string, value: string): void => {
    values.set(name, [...(values.get(name) ?? []), value]);
  };
  const places = Object.entries(defs).filter(([, def]) => def.type === 'positional');
  for (const token of tokens) {
    if (token.kind === 'positional') {
      const place = places.find(([name, { repeatable }]) => repeatable === true || !values.has(name));
      if (place === undefined) throw new UsageError(`unexpected argument '${token.value}'`);
      if (token.value === '' && place[1].repeatable !== true)
        throw new UsageError(`<${place[0]}> must not be empty`);
      add(place[0], token.value);
    } else if (token.kind === 'option') {
      const def = definitionOf(token.name, token.rawName, defs);
      if (def.repeatable !== true && def.type !== 'boolean' && values.has(token.name)) {
        throw new UsageError(`--${token.name} was given more than once`);
      }
      add(token.name, checkedValue(token.name, def, token.value, token.inlineValue));
    }
  }
  for (const [name, def] of Object.entries(defs)) {
    if (def.required === true && !values.has(name)) throw new UsageError(missing(name, def));
  }
  return new CommandLine(values);
}

function optionTypes(
  defs: OptionDefs,
): Record<string, { type: 'boolean' | 'string'; multiple: true; short?: string }> {
  const options = Object.entries(defs).filter(([, { type }]) => type !== 'positional');
  return Object.fromEntries(
    options.map(([name, { type, alias }]) => {
      const kind = type === 'boolean' ? ('boolean' as const) : ('string' as const);
      const short = alias === undefined ? {} : { short: alias };
      return [name, { type: kind, multiple: true as const, ...short }];
    }),
  );
}

function definitionOf(name: string, rawName: string, defs: OptionDefs): OptionDef {
  const def = Object.hasOwn(defs, name) ? defs[name] : undefined;
  if (def !== undefined && def.type !== 'positional') return def;
  const known = Object.keys(defs).filter((key) => defs[key]?.type !== 'positional');
  const guess = closest(name, known);
  throw new UsageError(
    guess === undefined ? `unknown option ${rawName}` : `unknown option ${rawName}; did you mean --${guess}?`,
  );
}

function checkedValue(
  name: string,
  def: OptionDef,
  value: string | undefined,
  inline: boolean | undefined,
): string {
  if (def.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`--${name} takes no value, found '${value}'`);
    return '';
  }
  const looksLikeOption = inline !== true && value !== undefined && /^-./.test(value);
  if (value === undefined || value === '' || looksLikeOption) {
    throw new UsageError(`--${name} needs a value: ${expected(def)}`);
  }
  if (def.options?.includes(value) === false) {
    throw new UsageError(`--${name} must be ${expected(def)}, not '${value}'`);
  }
  return value;
}

function missing(name: string, def: OptionDef): string {
  const what = def.type === 'positional' ? `<${name}>` : `--${name} ${hintOf(def)}`;
  return `${what} is missing (${lowerFirst(def.description)})`;
}

function expected(def: OptionDef): string {
  const { options } = def;
  return options === undefined ? hintOf(def) : `${options.slice(0, -1).join(', ')} or ${options.at(-1)}`;
}

function lowerFirst(text: string): string {
  // A name such as QEMU keeps its capitals.
  return /^[A-Z]{2}/.test(text) ? text : text.slice(0, 1).toLowerCase() + text.slice(1);
}

const FARTHEST = 2;

/**
 * Returns the probably intended word: one that begins or ends with `word`, else the one with the fewest letters to
 * change.
 */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const longer = candidates.filter(
    (candidate) => word.length > 2 && (candidate.startsWith(word) || candidate.endsWith(`-${word}`)),
  );
  if (longer.length === 1) return longer[0];
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .filter(({ candidate, distance: letters }) => letters <= FARTHEST && letters < candidate.length)
    .toSorted((left, right) => left.distance - right.distance);
  return ranked[0]?.candidate;
}

/** Returns Levenshtein's distance: the number of letters to insert, drop or replace. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, letter] of Array.from(from).entries()) {
    const next = [index + 1];
    for (const [at, other] of Array.from(to).entries()) {
      const replaced = (row[at] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[at + 1] ?? 0) + 1, (next[at] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
