import { isServerLost, type PageServer } from '../../engine/serve/page-server.ts';
import { MappedRamError } from '../../errors.ts';
import { deferred } from '../../host/deferred.ts';
import { disposeAll } from '../../host/dispose-all.ts';
import { waitWithin } from '../../host/wait-within.ts';
import { type ComingMemory, tellComing } from '../../qemu/memory/coming-memory.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { Holds } from './holds.ts';
import { MeetingPlace } from './meeting-place.ts';
import type { Servers } from './servers.ts';
import { Standstill } from './standstill.ts';
import { endOf, listenAnew, type MigrationEnd } from './take-over.ts';

/** The most servers in a row that take over and bring nothing. */
const MOST_VAIN = 8;

/** How far the memory of a guest has come that runs already. */
export interface LazyProgress {
  /** Bytes of the pages that hold something. */
  readonly contentBytes: number;
  /** Those of them that QEMU has got. */
  readonly arrivedBytes: number;
  /** Pages that QEMU has asked for so far: of the present server, where several took turns. */
  readonly requests: number;
  /** True when QEMU has all of its memory. */
  readonly complete: boolean;
}

/**
 * What became of a memory that has arrived. The numbers are those of the last server, where several took turns; some
 * are missing where that one ended before it could tell them.
 */
export interface LazyReport {
  /** Milliseconds from the guest's first moment to QEMU having all of its memory. */
  readonly completeMs: number;
  /** Pages that QEMU asked for, those of devices included. */
  readonly requests: number;
  /** Bytes that were sent because they were asked for. */
  readonly answeredBytes?: number | undefined;
  /** Bytes that nobody has asked for. */
  readonly pushedBytes?: number | undefined;
  /** Microseconds from a request to its answer, as the server sees it; the guest waits a few tens longer. */
  readonly answerMicroseconds?:
    | { readonly p50: number; readonly p99: number; readonly max: number }
    | undefined;
  /** How often another server took over. */
  readonly takeOvers: number;
}

/** The numbers of the last server. */
type LastServer = Omit<LazyReport, 'completeMs' | 'takeOvers'>;

/** @internal */
export interface LazyMemoryOptions {
  readonly qmp: QmpClient;
  readonly pid: number | undefined;
  readonly servers: Servers;
  /** The place that the pages come from; of a delta, the delta's own. */
  readonly source: Pick<ComingMemory, 'file' | 'path' | 'offset'>;
  /** True when pages may come that nobody has asked for, or may have come. */
  readonly pushes: boolean;
  readonly preempt: boolean;
  /** Brings QEMU's settings to what they are to be when all is there. */
  readonly putBack: () => Promise<void>;
  /** What to let go of when all is over. */
  readonly things: readonly AsyncDisposable[];
}

/**
 * The memory of a guest that runs while it is still on its way. When the server of its pages ends, another takes over:
 * QEMU itself knows what it has. Disposal stops that, and is for a QEMU that is to end.
 */
export class LazyMemory implements AsyncDisposable {
  readonly #options: LazyMemoryOptions;
  readonly #startedAt = performance.now();
  readonly #complete = deferred<LazyReport>();
  readonly #closing = new AbortController();
  readonly #over: Promise<void>;
  readonly #holds = new Holds();
  readonly #standstill: Standstill;
  /** The word to saves over this connection. */
  readonly #told: Disposable;
  #server: PageServer;
  #isEnding = false;
  #takeOvers = 0;
  #isComplete = false;
  #isReleased = false;

  /** @param server the one that has brought the guest up @internal */
  constructor(server: PageServer, options: LazyMemoryOptions) {
    this.#options = options;
    this.#server = server;
    const { qmp, source, pushes } = options;
    this.#standstill = new Standstill(qmp);
    this.#told = tellComing(qmp, { ...source, pushes, hold: (signal) => this.#hold(signal) });
    // Who does not ask need not hear of it.
    this.#complete.promise.catch(() => undefined);
    this.#over = this.#follow(options);
  }

  /**
   * Settles when QEMU has all of its memory: the snapshot is not needed any more, and QEMU can migrate.
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when a page cannot be read, which it names: the guest waits for it should
   *   it touch that page, and gets all others; ERR_MAPPED_RAM_QEMU when QEMU has ended; ERR_MAPPED_RAM_CLOSED
   */
  get complete(): Promise<LazyReport> {
    return this.#complete.promise;
  }

  progress(): LazyProgress {
    const { contentBytes, sentBytes, requests } = this.#server.progress();
    return { contentBytes, arrivedBytes: sentBytes, requests, complete: this.#isComplete };
  }

  /**
   * Leaves the memory to its server: this process may end, or close its connection, when this settles, and the guest
   * gets the rest all the same, unless the server is in this process. No other server takes over from now on.
   */
  async release(): Promise<void> {
    this.#isReleased = true;
    // The server may end the migration from here on, so that nothing can be said of it.
    this.#told[Symbol.dispose]();
    await this.#unheld().catch(() => undefined);
    // The guest is not to be left standing still.
    if (this.#standstill.isOn) await this.#over;
    this.#server.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#server.stop();
    await this.#over;
  }

  async #follow({ putBack, things }: LazyMemoryOptions): Promise<void> {
    using _ = this.#told;
    try {
      const last = await this.#untilComplete();
      await this.#standstill.end();
      const completeMs = performance.now() - this.#startedAt;
      this.#isComplete = true;
      await putBack().catch(() => undefined);
      this.#complete.resolve({ completeMs, ...last, takeOvers: this.#takeOvers });
    } catch (error) {
      this.#complete.reject(this.#closing.signal.aborted ? closed() : error);
      // A CPU that waits for a page may keep QEMU from answering.
      this.#standstill.end().catch(() => undefined);
      // QEMU may only be out of this process's sight.
      this.#server.unref();
    } finally {
      await disposeAll(things).catch(() => undefined);
    }
  }

  /** Keeps the migration from ending. @returns undefined when it has ended @throws the signal's reason */
  async #hold(signal: AbortSignal | undefined): Promise<Disposable | undefined> {
    const held = this.#holds.hold();
    if (!this.#isEnding && !this.#standstill.isOn && !this.#isComplete) return held;
    held[Symbol.dispose]();
    await waitWithin(this.#over, { signal }, closed);
    return undefined;
  }

  /** Settles when no save needs the migration any more, or the server has ended: another one has to take over first. */
  async #unheld(): Promise<void> {
    const { done } = this.#server;
    while (this.#holds.isHeld) await Promise.race([this.#holds.released, done]);
  }

  async #untilComplete(): Promise<LastServer> {
    let most = 0;
    for (let vain = 0; ;) {
      const server = this.#server;
      try {
        const { requests, answeredBytes, pushedBytes, answerMicroseconds } = await this.#serveOut(server);
        return { requests, answeredBytes, pushedBytes, answerMicroseconds };
      } catch (error) {
        const { sentBytes, requests } = server.progress();
        vain = sentBytes > most ? 0 : vain + 1;
        most = Math.max(most, sentBytes);
        const isLeft = this.#isReleased && !this.#standstill.isOn;
        const isOver = this.#closing.signal.aborted || isLeft || vain > MOST_VAIN;
        if (isOver || !isServerLost(error)) throw error;
        // QEMU may have had all that it needed when the server ended.
        if ((await this.#takeOver(error)) === 'completed') return { requests };
      }
    }
  }

  /** Waits until a server has brought everything. */
  async #serveOut(server: PageServer): Promise<Awaited<PageServer['done']>> {
    void server.unreadable.then((error) => error && this.#complete.reject(error));
    if (!(await server.pushed)) return server.done;
    // A hold may come between the last one's end and here.
    while (this.#holds.isHeld) await this.#unheld();
    const { preempt } = this.#options;
    if (preempt && this.#isReleased && !this.#standstill.isOn) return server.done;
    this.#isEnding = true;
    // A CPU that waits for a page waits for the next server when this one has gone. Without a second connection QEMU asks
    // for nothing behind the end.
    if (preempt) await Promise.race([this.#standstill.begin(), server.done]);
    server.end();
    return server.done;
  }

  /** @param error the reason why the server before has ended */
  async #takeOver(error: unknown): Promise<'completed' | 'served'> {
    const { qmp, pid, servers, preempt } = this.#options;
    const wait = { signal: this.#closing.signal };
    if (await this.#hasCompleted(await endOf(qmp), error)) return 'completed';
    await using place = await MeetingPlace.make(pid);
    const ready = await servers.ready(wait);
    try {
      if (await this.#hasCompleted(await listenAnew(qmp, place.path, wait), error)) {
        await ready.discard();
        return 'completed';
      }
    } catch (failure) {
      await ready.discard();
      throw failure;
    }
    this.#isEnding = false;
    this.#takeOvers += 1;
    this.#server = ready.serve({ path: place.ownPath, preempt });
    if (wait.signal.aborted) this.#server.stop();
    await this.#server.loaded;
    return 'served';
  }

  /** @throws the reason when the migration has come to another end: QEMU's own words, where it has ended itself */
  async #hasCompleted(end: MigrationEnd | undefined, error: unknown): Promise<boolean> {
    if (end !== 'ended') return end === 'completed';
    await this.#options.qmp.execute('query-status');
    throw error;
  }
}

function closed(): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the memory is no longer served');
}
