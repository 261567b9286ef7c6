import {
  isServerLost,
  type PageServer,
  type PageServerOptions,
  startPageServer,
} from '../../engine/serve/page-server.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import type { PostcopyOptions } from './postcopy-options.ts';
import type { ServedMemory } from './served-memory.ts';
import { ServerProcess } from './server-process.ts';

/** Limit in milliseconds for connecting to a QEMU that listens. */
const CONNECT_MS = 10_000;
const MOST_TRIES = 5;

/** What differs from one server of the same memory to the next. */
type Turn = Pick<PageServerOptions, 'path' | 'opening' | 'preempt'>;

/** A server of some memory that is yet to begin. */
export interface ReadyServer {
  serve(turn: Turn): PageServer;
  /** Lets it go without work. */
  discard(): void;
}

/** Makes the servers of a lazy restore: the first one, and those that take over. */
export class Servers {
  readonly #memory: ServedMemory;
  readonly #sectionId: number;
  readonly #options: PostcopyOptions;

  constructor(memory: ServedMemory, sectionId: number, options: PostcopyOptions) {
    this.#memory = memory;
    this.#sectionId = sectionId;
    this.#options = options;
  }

  /** True when pages come that nobody has asked for. */
  get pushes(): boolean {
    return this.#options.push !== 'off';
  }

  /**
   * @param early a process that was started before, and has the same files
   * @throws {MappedRamError} as `ServerProcess.start`
   */
  async ready(wait: WaitOptions, early?: Promise<ServerProcess | undefined>): Promise<ReadyServer> {
    if (this.#options.server === 'caller') {
      return { serve: (turn) => startPageServer(this.#optionsOf(turn)), discard: () => undefined };
    }
    const fds = this.#memory.files.flatMap(({ fd }) => (fd === undefined ? [] : [fd]));
    const server = (await early) ?? (await startServer(fds, wait));
    return {
      serve: (turn) => {
        server.serve(this.#optionsOf(turn));
        return server;
      },
      discard: () => server.kill(),
    };
  }

  #optionsOf(turn: Turn): PageServerOptions {
    const { push = 'full', maxBandwidth } = this.#options;
    const { files, blocks, directIo } = this.#memory;
    return {
      ...turn,
      connectMs: CONNECT_MS,
      files,
      directIo,
      blocks,
      sectionId: this.#sectionId,
      push,
      maxBandwidth,
      // The owner of the guest says when, or the server's process when the owner is gone.
      endsByItself: false,
    };
  }
}

/** Starts a process; one that somebody ends before it is up is started anew. */
async function startServer(fds: readonly number[], wait: WaitOptions): Promise<ServerProcess> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ServerProcess.start(fds, wait);
    } catch (error) {
      if (!isServerLost(error) || tries === MOST_TRIES) throw error;
    }
  }
}
