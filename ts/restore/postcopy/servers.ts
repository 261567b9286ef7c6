import {
  isServerLost,
  type PageServer,
  type PageServerPeer,
  type PageServerWork,
  startPageServer,
} from '../../engine/serve/page-server.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import type { PostcopyOptions } from './postcopy-options.ts';
import type { ServedMemory } from './served-memory.ts';
import { ServerProcess } from './server-process.ts';

/** Limit in milliseconds for connecting to a QEMU that listens. */
const CONNECT_MS = 10_000;
const MOST_TRIES = 5;

/** A server of some memory that knows all of its work, and is yet to begin. */
export interface ReadyServer {
  serve(peer: PageServerPeer): PageServer;
  /** Ends it, whether or not it serves. */
  discard(): Promise<void>;
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
   * @param opening what QEMU gets before the guest runs, of the first server; undefined for one that takes over
   * @param early a process that was started before, and has the same files
   * @throws {MappedRamError} as `ServerProcess.start`
   */
  async ready(
    wait: WaitOptions,
    opening?: Uint8Array,
    early?: Promise<ServerProcess | undefined>,
  ): Promise<ReadyServer> {
    const work = this.#workOf(opening);
    if (this.#options.server === 'caller') {
      let own: PageServer | undefined;
      return {
        serve: (peer) => (own = startPageServer({ ...work, ...peer })),
        discard: async () => {
          own?.stop();
          await own?.done.catch(() => undefined);
        },
      };
    }
    const fds = this.#memory.files.flatMap(({ fd }) => (fd === undefined ? [] : [fd]));
    const server = (await early) ?? (await startServer(fds, wait));
    // It takes a while to read this, for which no guest is to wait.
    server.prepare(work);
    return {
      serve: (peer) => {
        server.serve(peer);
        return server;
      },
      discard: () => server[Symbol.asyncDispose](),
    };
  }

  #workOf(opening: Uint8Array | undefined): PageServerWork {
    const { push = 'full', maxBandwidth } = this.#options;
    const { files, blocks, directIo } = this.#memory;
    return {
      connectMs: CONNECT_MS,
      files,
      directIo,
      blocks,
      sectionId: this.#sectionId,
      opening,
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
