import { COMMON_OPTIONS, type OptionDefs, type CommonOptions } from './options/option-def.ts';
import type { Session } from './session.ts';

/** A command as the program runs it and --help shows it. */
export interface Command {
  readonly name: string;
  /** The description. Its first sentence stands in the program's overview. */
  readonly description: string;
  readonly args: OptionDefs;
  /** Lines for the end of --help: command lines, which may end with a comment. */
  readonly examples: readonly string[];
  run(session: Session): Promise<void>;
}

/** A command with its own definitions: `args` has the options besides those that every command has. */
export interface OwnCommand<D extends OptionDefs> extends Command {
  readonly args: D;
  run(session: Session<D>): Promise<void>;
}

export function defineCommand<const D extends OptionDefs>(own: OwnCommand<D>): Command {
  const args: D & CommonOptions = { ...own.args, ...COMMON_OPTIONS };
  return { ...own, args };
}
