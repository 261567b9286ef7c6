import { localFile } from '../../io/open-source.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { sourcesBelow } from './served-memory.ts';
import { ServerProcess } from './server-process.ts';

/**
 * The process that is to serve a snapshot's memory, started while QEMU starts. One that cannot be had is the business of
 * the load. Disposal ends it, unless the load has it by then.
 */
export class EarlyServer implements AsyncDisposable {
  #starting: Promise<ServerProcess> | undefined;

  constructor(snapshot: Snapshot, signal: AbortSignal | undefined) {
    const fds = sourcesBelow(snapshot.reader).map((source) => localFile(source, 'a lazy restore').fd);
    this.#starting = ServerProcess.start(fds, { signal });
    this.#starting.catch(() => undefined);
  }

  /** Takes the process; undefined when there is none that lives, or somebody has it. */
  async take(): Promise<ServerProcess | undefined> {
    const starting = this.#starting;
    this.#starting = undefined;
    const server = await starting?.catch(() => undefined);
    return server?.isGone === false ? server : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.take())?.[Symbol.asyncDispose]();
  }
}
