import type { QmpCommands } from './qapi.generated.ts';
import type { QmpArgument, QmpValue } from './json.ts';

/** Arguments of a command: typed by QEMU's schema for the commands that this package uses, any object for others. */
export type QmpArguments<Command extends string> = Command extends keyof QmpCommands
  ? QmpCommands[Command]['arguments']
  : { readonly [key: string]: QmpArgument | undefined } | undefined;

/** Result of a command, typed likewise. Another QEMU may return less or more: check every field that matters. */
export type QmpResult<Command extends string> = Command extends keyof QmpCommands
  ? QmpCommands[Command]['result']
  : QmpValue;
