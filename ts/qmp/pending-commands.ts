import { deferred, type Deferred } from '../host/deferred.ts';
import { refused } from './client-errors.ts';
import type { QmpValue } from './json.ts';
import type { QmpMessage } from './message.ts';

/** First id after a connection was taken over, so that no late reply to the predecessor passes for a new one. */
const SUCCESSOR_IDS = 2 ** 40;

export interface PendingCommand extends Deferred<QmpValue> {
  readonly id: number;
  readonly command: string;
}

export type QmpReply = Extract<QmpMessage, { readonly kind: 'return' | 'error' }>;

/** The commands of a connection that QEMU has not answered yet, by id. */
export class PendingCommands {
  readonly #pending = new Map<number, PendingCommand>();
  readonly #unanswered = new Map<number, Deferred<void>>();
  #lastId: number;

  /** @param isSuccessor true when another process has sent commands over this connection before */
  constructor(isSuccessor: boolean) {
    this.#lastId = isSuccessor ? SUCCESSOR_IDS : 0;
  }

  add(command: string): PendingCommand {
    this.#lastId += 1;
    const pending = { id: this.#lastId, command, ...deferred<QmpValue>() };
    this.#pending.set(pending.id, pending);
    return pending;
  }

  has({ id }: PendingCommand): boolean {
    return this.#pending.has(id);
  }

  /** Settles when QEMU has answered a command that is being sent, also when it is given up, or never will. */
  answered({ id }: PendingCommand): Promise<void> {
    const answer = this.#unanswered.get(id) ?? deferred<void>();
    this.#unanswered.set(id, answer);
    return answer.promise;
  }

  /** Forgets a command that is settled or given up. */
  remove({ id }: PendingCommand): void {
    this.#pending.delete(id);
  }

  /** Settles the command that a reply answers. An unknown id belongs to a command that was given up. */
  settle(reply: QmpReply): void {
    const id = typeof reply.id === 'number' ? reply.id : 0;
    const pending = this.#pending.get(id);
    this.#unanswered.get(id)?.resolve();
    this.#unanswered.delete(id);
    if (reply.kind === 'return') pending?.resolve(reply.value);
    else pending?.reject(refused(pending.command, reply.error));
  }

  rejectAll(error: Error): void {
    for (const pending of this.#pending.values()) pending.reject(error);
    for (const answer of this.#unanswered.values()) answer.resolve();
    this.#unanswered.clear();
  }
}
