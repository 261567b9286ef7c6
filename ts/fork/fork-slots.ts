import { MappedRamError } from '../errors.ts';
import { disposeAll } from '../host/dispose-all.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { assertComesUp } from '../restore/recorded-state.ts';
import { makeStateStream } from '../restore/state-stream.ts';
import { forAllClones, ofClone } from './all-clones.ts';
import { capture, type Captured } from './capture.ts';
import {
  type CheckedForkOptions,
  checkForkNowOptions,
  type ForkForm,
  type ForkNowOptions,
} from './fork-options.ts';
import { FORK_MODE, type ForkSlot, type LoadedClone } from './fork-slot.ts';
import type { ForkSource } from './fork-source.ts';
import type { Fork } from './forked-guest.ts';

/**
 * QEMUs that wait for the clones of a guest, each with its memory mapped. `prepareFork` makes them, and `fork` gives them
 * their guests, once. Disposal ends the QEMUs that were not used; clones are the caller's.
 */
export class ForkSlots implements AsyncDisposable {
  readonly #source: ForkSource;
  readonly #slots: readonly ForkSlot[];
  readonly #options: CheckedForkOptions;
  readonly #guard: AsyncDisposable;
  #state: 'waiting' | 'used' | 'closed' = 'waiting';

  /** @internal */
  constructor(
    source: ForkSource,
    slots: readonly ForkSlot[],
    guard: AsyncDisposable,
    options: CheckedForkOptions,
  ) {
    this.#guard = guard;
    this.#source = source;
    this.#slots = slots;
    this.#options = options;
  }

  /** How many clones `fork` makes. */
  get size(): number {
    return this.#slots.length;
  }

  /** The way in which the clones get their memory. */
  get form(): ForkForm {
    return this.#source.form;
  }

  /** The snapshot that source and clones map; undefined with the form `whole`. */
  get base(): string | undefined {
    return this.form === 'delta' ? this.#source.mapped.path : undefined;
  }

  /**
   * Stops the guest for a moment, and lets it and all clones go on from there. The clones run only when all of them are
   * loaded. Can be called once: slots that failed are of no use, either.
   *
   * @throws {MappedRamError} as `fork`; ERR_MAPPED_RAM_CLOSED for slots that were used or closed. When this rejects, the
   *   source goes on, and no QEMU, file or descriptor is left of the fork
   */
  async fork(options: ForkNowOptions = {}): Promise<Fork> {
    const calledAt = performance.now();
    checkForkNowOptions(options);
    return this.forkSince(calledAt, options);
  }

  /** @param calledAt time of the caller's call, by `performance.now()` @internal */
  async forkSince(calledAt: number, { signal, timeoutMs }: ForkNowOptions): Promise<Fork> {
    if (this.#state !== 'waiting') {
      const why = this.#state === 'used' ? 'were used' : 'are closed';
      throw new MappedRamError('ERR_MAPPED_RAM_CLOSED', `the slots of the fork ${why}: prepare new ones`);
    }
    this.#state = 'used';
    const ending = new AbortController();
    const timer =
      timeoutMs === undefined ? undefined : setTimeout(() => ending.abort(late(timeoutMs)), timeoutMs);
    const limit = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
    try {
      return await this.#carryOut(calledAt, limit, ending);
    } catch (error) {
      await this.#end();
      throw error;
    } finally {
      clearTimeout(timer);
      await this.#letSourceGo();
    }
  }

  /** @param ending ends the fork when one of its QEMUs does */
  async #carryOut(calledAt: number, limit: AbortSignal, ending: AbortController): Promise<Fork> {
    const startedAt = performance.now();
    const wait: WaitOptions = { signal: limit, timeoutMs: this.#options.timeoutMs };
    limit.throwIfAborted();
    await Promise.all([
      forAllClones(this.#slots, (slot) => slot.assertWaits(), { signal: limit }),
      this.#source.assertUnchanged(wait),
      this.#source.ahead.ask(this.#source.qmp, wait),
    ]);
    const watch = this.#watch(ending);
    const { guard } = this.#options;
    await using captured = await capture(this.#source, { ...wait, guard });
    // A file that the QEMUs map is locked until it is checked; what a delta brings comes in a stream.
    if (this.form === 'whole') await captured.check();
    const capturedAt = performance.now();
    const loaded = await this.#load(captured, limit, ending);
    // The clones run only when the snapshot is found to be whole.
    await captured.check();
    watch.over = true;
    const loadedAt = performance.now();
    const going = await forAllClones(
      loaded,
      ({ clone }, signal) => clone.slot.letGoOn(clone, calledAt, signal),
      { signal: limit },
    );
    // The clones run, and need not wait for any of this.
    const saved = await captured.finish();
    limit.throwIfAborted();
    // At once: a process that is killed meanwhile leaves all of the clones, or none.
    await this.#source.watch.letGo(...this.#slots.map(({ process }) => process.pid));
    await Promise.all(this.#slots.map((slot) => slot.takeBack()));
    const readyAt = going.map((one) => one.readyAt - calledAt);
    const { pauseMs, writer, writerWhy, warnings } = saved;
    return {
      guests: going.map(({ guest }) => guest),
      form: this.form,
      base: this.base,
      pauseMs,
      bytes: captured.bytes,
      writer,
      writerWhy,
      warnings: [...warnings, ...this.#source.watch.warnings],
      times: {
        prepareMs: startedAt - calledAt,
        captureMs: capturedAt - startedAt,
        loadMs: loadedAt - capturedAt,
        firstMs: Math.min(...readyAt),
        totalMs: Math.max(...readyAt),
      },
      [Symbol.asyncDispose]: () => this.#end(),
    };
  }

  async #load(
    { snapshot, check }: Captured,
    limit: AbortSignal,
    ending: AbortController,
  ): Promise<readonly { readonly index: number; readonly clone: LoadedClone }[]> {
    const [first] = this.#slots;
    const inPlace = first?.blocks ?? [];
    const mapped = FORK_MODE.state?.mapped;
    const wantedStates = [...new Set(this.#slots.map(({ after }) => after))];
    const [recorded] = await Promise.all(wantedStates.map((after) => assertComesUp(snapshot, after)));
    const wanted = { inPlace, mapped, inMemory: true, signal: limit };
    await using state = await makeStateStream(snapshot, wanted, this.#source.stream);
    const loading = forAllClones(
      this.#slots,
      async (slot, signal) => ({
        index: slot.index,
        clone: await slot.load({ snapshot, recorded, state }, signal),
      }),
      { signal: limit },
    );
    // The QEMUs have their commands by then, and this process has nothing else to do.
    setImmediate(() => void check().catch((error: unknown) => ending.abort(error)));
    return await loading;
  }

  /** Ends the fork as soon as one of its QEMUs has ended. */
  #watch(ending: AbortController): { over: boolean } {
    const watch = { over: false };
    const follow = async (slot: ForkSlot): Promise<void> => {
      const error = await slot.whenGone();
      if (!watch.over) ending.abort(ofClone(slot.index, error));
    };
    for (const slot of this.#slots) void follow(slot);
    return watch;
  }

  /** Ends every QEMU, and waits until all are gone. */
  async #end(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => slot.close()));
  }

  /** Ends the QEMUs that wait, unless they have become clones. May be called again. */
  async close(): Promise<void> {
    if (this.#state !== 'waiting') return;
    this.#state = 'closed';
    await this.#end();
    await this.#letSourceGo();
  }

  async #letSourceGo(): Promise<void> {
    await disposeAll([this.#source, this.#guard]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function late(timeoutMs: number): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `the fork was not done within ${timeoutMs} ms`);
}
