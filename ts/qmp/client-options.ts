import type { WaitOptions } from '../host/wait-within.ts';
import { assertOptions } from '../io/assert-options.ts';

/** Limit in milliseconds for connecting and the greeting. A QEMU that is not overloaded greets in milliseconds. */
const CONNECT_MS = 10_000;

export interface QmpClientOptions extends WaitOptions {
  /** Limit in milliseconds for a command that names none itself. @default 60000 */
  readonly commandTimeoutMs?: number | undefined;
  /**
   * Called when the connection is lost. Returns why QEMU is gone (exit status, last words on stderr), for the error
   * that everything pending rejects with. Must settle soon.
   */
  readonly explainLoss?: (() => Promise<string | undefined>) | undefined;
  /** QEMU's process, when it is known for certain. */
  readonly pid?: number | undefined;
  /** Returns the end of QEMU's output on stderr so far, when that can be seen. */
  readonly stderr?: (() => string) | undefined;
  /**
   * True for a connection whose commands QEMU can carry out while its main thread is busy or waits (`oob` of
   * {@link ExecuteOptions}), where QEMU offers that: QEMU 3.0 and later, on sockets. @default false
   */
  readonly oob?: boolean | undefined;
  /** The address that the stream leads to, when it has one. */
  readonly server?: string | undefined;
}

export interface ExecuteOptions extends WaitOptions {
  /**
   * A descriptor of this process. QEMU gets a duplicate of it together with the command (`add-fd`, `getfd`). The
   * descriptor must stay open until the command has settled. Works over a unix socket, on Linux only.
   */
  readonly fd?: number | undefined;
  /**
   * Lets QEMU carry the command out at once, out of band, whatever its main thread waits for. Few commands can be
   * (`migrate-recover`, `migrate-pause`). Where the connection is not made for that, the command is an ordinary one.
   * @default false
   */
  readonly oob?: boolean | undefined;
}

/**
 * The options of a connection, with its limit of time.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what is no options
 */
export function connectOptions(given: QmpClientOptions): QmpClientOptions {
  assertOptions(given);
  return { ...given, timeoutMs: given.timeoutMs ?? CONNECT_MS };
}
