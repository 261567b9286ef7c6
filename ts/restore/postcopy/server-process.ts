import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import type {
  PageServer,
  PageServerPeer,
  PageServerProgress,
  PageServerReport,
  PageServerWork,
} from '../../engine/serve/page-server.ts';
import { MappedRamError } from '../../errors.ts';
import { deferred } from '../../host/deferred.ts';
import { waitWithin, type WaitOptions } from '../../host/wait-within.ts';
import { errorOfPlain, formatOrder, type ServerNews, type ServerOrder } from './server-messages.ts';

/** Limit in milliseconds for the start of a Node. */
const START_MS = 60_000;
/** The number of the first file's descriptor in the process. */
const FIRST_FD = 3;

const NOTHING: PageServerProgress = {
  contentBytes: 0,
  sentBytes: 0,
  requests: 0,
  loaded: false,
  pushed: false,
  ended: false,
};

/** A process that is to serve pages. It has the files already, so that it can begin at once. */
export class ServerProcess implements PageServer, AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #done = deferred<PageServerReport>();
  readonly #loaded = deferred<boolean>();
  readonly #pushed = deferred<boolean>();
  readonly #unreadable = deferred<MappedRamError | undefined>();
  readonly #ready = deferred<void>();
  readonly #closed = deferred<void>();
  #progress = NOTHING;
  #isGone = false;

  private constructor(child: ChildProcess, input: Writable, output: Readable) {
    this.#child = child;
    this.#input = input;
    this.#done.promise.catch(() => undefined);
    this.#ready.promise.catch(() => undefined);
    input.on('error', () => undefined);
    createInterface({ input: output }).on('line', (line) => this.#hear(line));
    child.once('error', (cause) => this.#lose(gone('cannot be started', cause)));
    // All that the process has said is read by then.
    child.once('close', (code, signal) => {
      this.#lose(gone(`has ended (${signal ?? `status ${code}`})`));
      this.#closed.resolve();
    });
  }

  /**
   * Starts the process, and settles when it is up.
   * @param fds the files of the memory, which it inherits
   * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT, ERR_MAPPED_RAM_INTERNAL when it does not start
   */
  static async start(fds: readonly number[], { signal }: WaitOptions): Promise<ServerProcess> {
    // The program has the same name in the sources and in the build. Only the sources need the loader of this process.
    const extension = extname(import.meta.url);
    const main = fileURLToPath(new URL(`server-main${extension}`, import.meta.url));
    const options = extension === '.ts' ? process.execArgv : [];
    const stdio: StdioOptions = ['pipe', 'pipe', 'ignore', ...fds];
    // It is in a process group of its own: Ctrl-C is for this process.
    const child = spawn(process.execPath, [...options, main], { detached: true, stdio });
    const { stdin, stdout } = child;
    if (stdin === null || stdout === null) throw gone('cannot be started');
    const server = new ServerProcess(child, stdin, stdout);
    try {
      await waitWithin(
        server.#ready.promise,
        { timeoutMs: START_MS, signal },
        () => new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', 'the page server did not start in time'),
      );
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The process's id. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get done(): Promise<PageServerReport> {
    return this.#done.promise;
  }

  get loaded(): Promise<boolean> {
    return this.#loaded.promise;
  }

  get pushed(): Promise<boolean> {
    return this.#pushed.promise;
  }

  get unreadable(): Promise<MappedRamError | undefined> {
    return this.#unreadable.promise;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  progress(): PageServerProgress {
    return this.#progress;
  }

  /** Tells it what it is to serve, once. Its files are those that it has inherited, in this order. */
  prepare(work: PageServerWork): void {
    this.#tell({ work });
  }

  /** Lets it serve a QEMU, once, when it is prepared. */
  serve(peer: PageServerPeer): void {
    this.#tell({ peer });
  }

  end(): void {
    this.#tell({ order: 'end' });
  }

  /** To QEMU the end of the process is that of its connections. */
  stop(): void {
    this.kill();
  }

  /** Ends the process, whatever it does. May be called again. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Ends the process, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    if (this.pid !== undefined) await this.#closed.promise;
  }

  /** Leaves the server to itself: it goes on without this process, which need not live for its sake. */
  unref(): void {
    this.#input.end();
    this.#child.unref();
    for (const stream of [this.#input, this.#child.stdout]) {
      if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
    }
  }

  #tell(order: ServerOrder): void {
    this.#input.write(`${formatOrder(order, FIRST_FD)}\n`);
  }

  #hear(line: string): void {
    const news = newsIn(line);
    if (news === undefined) return;
    switch (news.news) {
      case 'ready':
        return this.#ready.resolve();
      case 'loaded':
        return this.#loaded.resolve(true);
      case 'pushed':
        return this.#pushed.resolve(true);
      case 'progress':
        this.#progress = news.progress;
        return;
      case 'unreadable':
        return this.#unreadable.resolve(errorOfPlain(news.error));
      case 'done':
        this.#done.resolve(news.report);
        return this.#settle();
      case 'failed':
        return this.#end(errorOfPlain(news.error));
    }
  }

  #lose(error: MappedRamError): void {
    this.#isGone = true;
    this.#end(error);
  }

  #end(error: MappedRamError): void {
    this.#done.reject(error);
    this.#settle();
  }

  #settle(): void {
    this.#ready.reject(gone('has ended'));
    this.#loaded.resolve(false);
    this.#pushed.resolve(false);
    this.#unreadable.resolve(undefined);
    // Nothing is left for it to do.
    this.#input.end();
    this.kill();
  }
}

/** Reads a line. What is none of ours was printed by something that the environment puts into every Node. */
function newsIn(line: string): ServerNews | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function gone(how: string, cause?: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CLOSED', `the process that serves the memory ${how}`, { cause });
}
