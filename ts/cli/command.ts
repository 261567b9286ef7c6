import type { CommandDef, CommandMeta } from 'citty';

import type { Session } from './session.ts';

/** An option or a positional argument, as citty defines them; citty ignores `repeatable` and `group`. */
export interface OptionDef {
  readonly type: 'boolean' | 'string' | 'enum' | 'positional';
  readonly description: string;
  readonly required?: boolean;
  /** What stands for the value in --help. */
  readonly valueHint?: string;
  /** One letter. */
  readonly alias?: string;
  /** Of an enum. */
  readonly options?: string[];
  /** May be given more than once. */
  readonly repeatable?: boolean;
  /** The heading under which --help lists it. @default 'Options' */
  readonly group?: string;
}

export type OptionDefs = Record<string, OptionDef>;

/** A citty command whose parts are plain values, so that --help and the strict check can look at them. */
export interface Command extends CommandDef {
  readonly meta: CommandMeta;
  readonly args: OptionDefs;
  /** Lines for the end of --help: a comment, or a command line. */
  readonly examples: readonly string[];
  readonly run: (context: { readonly data?: Session }) => Promise<void>;
}

/** What citty hands to a command: the session that `main` made. */
export function sessionOf(context: { readonly data?: Session }): Session {
  if (context.data === undefined) throw new TypeError('a command runs within a session');
  return context.data;
}
