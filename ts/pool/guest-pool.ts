import { EventEmitter } from 'node:events';

import { type MappedRamError, toError } from '../errors.ts';
import { tellListener } from '../host/tell-listener.ts';
import { BackOff } from './back-off.ts';
import { MemoryFloor } from './memory-floor.ts';
import { Numbers } from './numbers.ts';
import { Operations } from './operations.ts';
import { closed, hopeless, late } from './pool-errors.ts';
import type { PoolChange, PoolEvents, PoolHealth } from './pool-health.ts';
import { type CheckedPoolOptions, checkTakeOptions, type TakeOptions } from './pool-options.ts';
import type { PoolRecipe } from './pool-recipe.ts';
import type { PooledGuest, PooledQemu } from './pooled-qemu.ts';
import { Takers } from './takers.ts';

/** Milliseconds between two looks at the memory while it is short. */
const MEMORY_MS = 250;

/**
 * QEMUs that wait with a snapshot, for `take`. `createPool` makes it. The event `health` tells every change.
 *
 * QEMUs that wait end with the pool, and with this process. A guest that was taken is the caller's.
 */
export class GuestPool extends EventEmitter<PoolEvents> implements AsyncDisposable {
  readonly #recipe: PoolRecipe;
  readonly #options: CheckedPoolOptions;
  readonly #operations = new Operations();
  readonly #takers = new Takers<PooledQemu>();
  readonly #numbers = new Numbers();
  readonly #backOff = new BackOff();
  readonly #memory: MemoryFloor;
  readonly #waiting: PooledQemu[] = [];
  readonly #counts = { starting: 0, loading: 0, taken: 0, died: 0, failed: 0 };
  #timer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(recipe: PoolRecipe, options: CheckedPoolOptions) {
    super();
    this.#recipe = recipe;
    this.#options = options;
    this.#memory = new MemoryFloor(options.minFreeMemory);
  }

  /** How many QEMUs are to wait. */
  get size(): number {
    return this.#options.size;
  }

  /** The counts now. */
  get health(): PoolHealth {
    const { starting, taken, died, failed } = this.#counts;
    const [waiting, queued] = [this.#waiting.length, this.#takers.length];
    const { inARow: failuresInARow, lastError } = this.#backOff;
    const { heldBack } = this.#memory;
    const isClosed = this.#closing !== undefined;
    return { waiting, starting, queued, taken, died, failed, failuresInARow, heldBack, lastError, isClosed };
  }

  /**
   * Starts the first QEMU, whatever memory there is, and the others behind it.
   * @throws {MappedRamError} the failure of that start @internal
   */
  async fill(signal: AbortSignal | undefined): Promise<void> {
    await this.#start(signal);
    this.#refill();
  }

  /**
   * Takes a guest out of the pool, in the state that `after` of the pool names. Who comes first is served first. The pool
   * replaces the guest behind it. Disposal of the guest ends its QEMU.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT when there is no guest in time; ERR_MAPPED_RAM_QEMU when the pool has
   *   failed again and again to start a QEMU (`cause` is the last failure), or QEMU fails; ERR_MAPPED_RAM_CLOSED when the
   *   pool is or gets closed; ERR_MAPPED_RAM_INVALID_ARGUMENT. When this rejects, no QEMU is left of it
   */
  async take(options: TakeOptions = {}): Promise<PooledGuest> {
    const calledAt = performance.now();
    checkTakeOptions(options);
    const { signal, timeoutMs } = options;
    return this.#operations.run((either) => this.#take(calledAt, either), {
      signal,
      timeoutMs,
      onTimeout: () => late(this.#memory.heldBack),
    });
  }

  /**
   * Ends every QEMU that waits or starts, and rejects every `take` that has no guest yet. Nothing is left of the pool when
   * this resolves, except the guests that were taken. May be called again.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #take(calledAt: number, signal: AbortSignal): Promise<PooledGuest> {
    for (let isFirst = false; ; isFirst = true) {
      const qemu = this.#waiting.shift() ?? (await this.#queue(signal, isFirst));
      const guest = await this.#run(qemu, calledAt, signal);
      if (guest !== undefined) return guest;
    }
  }

  #queue(signal: AbortSignal, isFirst: boolean): Promise<PooledQemu> {
    if (this.#hasNoHope) throw this.#hopeless();
    const served = this.#takers.wait(signal, isFirst);
    this.#refill();
    return served;
  }

  /** Brings a guest into its state. @returns undefined when its QEMU died before, and the next one is to be tried */
  async #run(qemu: PooledQemu, calledAt: number, signal: AbortSignal): Promise<PooledGuest | undefined> {
    if (signal.aborted) {
      this.#give(qemu);
      throw signal.reason;
    }
    this.#counts.loading += 1;
    try {
      const guest = await qemu.run(calledAt, signal);
      this.#counts.taken += 1;
      this.#backOff.works();
      this.#tell('taken', qemu.index);
      return guest;
    } catch (thrown) {
      const { isGone } = qemu;
      await qemu.close();
      if (signal.aborted) throw thrown;
      this.#failed(isGone ? 'died' : 'failed', qemu.index, toError(thrown), isGone ? qemu.waitedMs : 0);
      if (!isGone) throw thrown;
      return undefined;
    } finally {
      this.#counts.loading -= 1;
      this.#refill();
    }
  }

  /** Starts one QEMU, which then waits or goes to the first in the queue. */
  #start(signal?: AbortSignal): Promise<void> {
    // Whoever closes the pool waits for this work, so the QEMU must be in the pool when the work ends.
    return this.#operations.run(
      async (either) => {
        const index = this.#numbers.take();
        this.#counts.starting += 1;
        const started = await this.#recipe.start(index, either).catch((error: unknown) => {
          this.#numbers.free(index);
          this.#counts.starting -= 1;
          if (!either.aborted) this.#failed('failed', index, toError(error));
          throw error;
        });
        this.#counts.starting -= 1;
        void started.process.exited.then(() => this.#numbers.free(index));
        void started.whenGone().then((error) => this.#gone(started, error));
        this.#give(started);
        this.#tell('ready', index);
      },
      { signal },
    );
  }

  /** Notes that a QEMU is gone, if it was still waiting. */
  #gone(qemu: PooledQemu, error: Error): void {
    const place = this.#waiting.indexOf(qemu);
    if (place === -1) return;
    this.#waiting.splice(place, 1);
    this.#failed('died', qemu.index, error, qemu.waitedMs);
    this.#refill();
  }

  #failed(change: 'died' | 'failed', index: number, error: Error, waitedMs = 0): void {
    this.#counts[change] += 1;
    this.#backOff.failed(error, waitedMs);
    this.#tell(change, index, error);
    if (this.#hasNoHope) this.#takers.rejectAll(() => this.#hopeless());
  }

  #give(qemu: PooledQemu): void {
    if (!this.#takers.serve(qemu)) this.#waiting.push(qemu);
  }

  /** Starts as many QEMUs as are missing, as far as failures and memory allow. */
  #refill(): void {
    clearTimeout(this.#timer);
    const { size, refill } = this.#options;
    const newest = this.#waiting.at(-1);
    if (newest !== undefined) this.#backOff.works(newest.waitedMs);
    const { starting, loading } = this.#counts;
    const there = this.#waiting.length + starting;
    // A guest that is being taken goes first: a start would take its processor.
    if (this.#closing !== undefined || (loading > 0 && there > 0)) return;
    const most = this.#backOff.inARow > 0 ? 1 : refill;
    const missing = Math.min(size - there, most - starting);
    if (missing <= 0) return;
    const pause = this.#pauseMs();
    if (pause > 0) {
      this.#timer = setTimeout(() => this.#refill(), pause);
      return;
    }
    for (let started = 0; started < missing; started += 1) {
      // The failure was told, and counts; the next start comes after a pause.
      this.#start().then(
        () => this.#refill(),
        () => this.#refill(),
      );
    }
  }

  /** Milliseconds until the next look at whether a QEMU may be started; 0 when it may be now. */
  #pauseMs(): number {
    const { pauseMs } = this.#backOff;
    if (pauseMs > 0) return pauseMs;
    const change = this.#memory.look();
    if (change !== undefined) this.#tell(change);
    return this.#memory.heldBack === undefined ? 0 : MEMORY_MS;
  }

  /** True when nothing is on its way to those who wait, because starts fail again and again. */
  get #hasNoHope(): boolean {
    return this.#backOff.isHopeless && this.#counts.starting === 0 && this.#waiting.length === 0;
  }

  #hopeless(): MappedRamError {
    return hopeless(this.#backOff.inARow, this.#backOff.lastError);
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#operations.close(closed());
      await Promise.all(this.#waiting.splice(0).map((qemu) => qemu.close()));
    } finally {
      await this.#recipe[Symbol.asyncDispose]();
      this.#tell('closed');
    }
  }

  #tell(change: PoolChange, index?: number, error?: Error): void {
    const event = { ...this.health, change, index, error };
    // A listener that throws keeps the news from nobody else.
    for (const listener of this.rawListeners('health')) {
      tellListener(listener.bind(this), () => event);
    }
  }
}
