import type { QmpArgument } from './json.ts';
import { stringifyQmpJson } from './json.ts';
import type { PendingCommand, PendingCommands } from './pending-commands.ts';
import type { QmpWriter } from './writer.ts';

/** What a command has beside its name. */
interface CommandParts {
  readonly args?: { readonly [key: string]: QmpArgument | undefined } | undefined;
  /** A descriptor of this process that travels with it. */
  readonly fd?: number | undefined;
  /** True for a command that QEMU is to carry out out of band, where the connection allows that. */
  readonly oob?: boolean | undefined;
}

/**
 * Sends commands. QEMU reads ahead on a connection for commands out of band, and a descriptor goes with whatever command
 * was read last: there, each other command waits for QEMU's answer to the one before.
 */
export class CommandTurns {
  /** True for a connection for commands out of band. */
  readsAhead = false;
  readonly #writer: QmpWriter;
  readonly #pending: PendingCommands;
  #last: Promise<unknown> = Promise.resolve();

  constructor(writer: QmpWriter, pending: PendingCommands) {
    this.#writer = writer;
    this.#pending = pending;
  }

  /** Settles as `QmpWriter.send`. @throws {TypeError} at once, for arguments that are no JSON */
  send(command: PendingCommand, { args, fd, oob = false }: CommandParts): Promise<void> {
    const overtakes = oob && this.readsAhead;
    const verb = overtakes ? 'exec-oob' : 'execute';
    const text = `${stringifyQmpJson({ [verb]: command.command, arguments: args, id: command.id })}\n`;
    const isWanted = (): boolean => this.#pending.has(command);
    if (overtakes || !this.readsAhead) return this.#writer.send({ text, fd, wanted: isWanted });
    let answered: Promise<void> | undefined;
    const wanted = (): boolean => {
      if (isWanted()) answered = this.#pending.answered(command);
      return answered !== undefined;
    };
    const sent = this.#last.then(() => this.#writer.send({ text, fd, wanted }));
    this.#last = sent.then(
      () => answered,
      () => undefined,
    );
    return sent;
  }
}
