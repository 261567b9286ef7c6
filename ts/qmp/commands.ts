import type { QmpCommands } from './qapi.generated.ts';
import type { QmpArgument, QmpValue } from './json.ts';

/** What a command takes: as QEMU's schema has it for the commands we use, any object for others. */
export type QmpArguments<Command extends string> = Command extends keyof QmpCommands
  ? QmpCommands[Command]['arguments']
  : { readonly [key: string]: QmpArgument | undefined } | undefined;

/** What a command returns, likewise. Another QEMU may say less or more: check what matters. */
export type QmpResult<Command extends string> = Command extends keyof QmpCommands
  ? QmpCommands[Command]['result']
  : QmpValue;
