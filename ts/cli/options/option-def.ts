/** An option or a positional argument of a command: its accepted values, and its text in --help. */
export interface OptionDef {
  readonly type: 'boolean' | 'string' | 'enum' | 'positional';
  readonly description: string;
  /** True when a command line without it is refused. @default false */
  readonly required?: boolean;
  /** The word that stands for the value in --help. */
  readonly valueHint?: string;
  /** The short name, one letter. */
  readonly alias?: string;
  /** The values that an enum accepts. */
  readonly options?: readonly string[];
  /** True when it may be given more than once. @default false */
  readonly repeatable?: boolean;
  /** The heading under which --help lists it. @default 'Options' */
  readonly group?: string;
}

export type OptionDefs = Readonly<Record<string, OptionDef>>;

/** An option that accepts a few words. */
export interface WordOption<T extends string> {
  readonly type: 'enum';
  readonly options: readonly T[];
}

/** Makes the part of a definition that lists the words; --help and the type of the value follow from it. */
export function choice<T extends string>(...options: readonly T[]): WordOption<T> {
  return { type: 'enum', options };
}

/** The type of the values that a definition accepts. */
export type ValueOf<D extends OptionDef> = D extends WordOption<infer T> ? T : string;

/** Returns the words that stand for the value in --help: `<N>`, `auto|on|off`. */
export function hintOf({ options, valueHint = 'value' }: OptionDef): string {
  return options === undefined ? `<${valueHint}>` : options.join('|');
}

/** The options that every command has. */
export const COMMON_OPTIONS: Readonly<Record<'json' | 'quiet' | 'verbose' | 'help', OptionDef>> = {
  json: { type: 'boolean', description: 'Print one JSON object on stdout', group: 'Output' },
  quiet: { type: 'boolean', description: 'Print nothing but errors', group: 'Output' },
  verbose: { type: 'boolean', description: 'Show the causes of an error', group: 'Output' },
  help: { type: 'boolean', alias: 'h', description: 'Show this help', group: 'Output' },
};
export type CommonOptions = typeof COMMON_OPTIONS;
