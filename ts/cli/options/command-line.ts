import { parseArgs } from 'node:util';

import type { OptionDef, OptionDefs } from '../command.ts';
import { closest } from './closest.ts';
import { UsageError } from '../usage-error.ts';

/** The arguments of one command, checked against its definitions. */
export class CommandLine {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values.has(name);
  }

  value(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** Of an argument that is required. */
  required(name: string): string {
    const value = this.value(name);
    if (value === undefined) throw new UsageError(`${name} is missing`);
    return value;
  }

  values(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

/**
 * citty lets unknown options pass, takes the last of repeated ones and guesses at missing values; here all of that is an
 * error that names the option and what was expected.
 * @throws {UsageError}
 */
export function parseCommandLine(args: readonly string[], defs: OptionDefs): CommandLine {
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
  return `${what} is missing: ${lowerFirst(def.description)}`;
}

function expected(def: OptionDef): string {
  const { options = [] } = def;
  return options.length > 0 ? `${options.slice(0, -1).join(', ')} or ${options.at(-1)}` : hintOf(def);
}

/** What stands for the value in --help: `<N>`. */
export function hintOf(def: OptionDef): string {
  const { options = [] } = def;
  return options.length > 0 ? options.join('|') : `<${def.valueHint ?? 'value'}>`;
}

function lowerFirst(text: string): string {
  // Not of a name such as QEMU.
  return /^[A-Z]{2}/.test(text) ? text : text.slice(0, 1).toLowerCase() + text.slice(1);
}
