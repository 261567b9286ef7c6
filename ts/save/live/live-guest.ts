import { MappedRamError } from '../../errors.ts';
import { type MigrationInfo, type MigrationRamInfo, queryMigration } from '../../qemu/migration-info.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { QmpEvent, QmpEvents } from '../../qmp/events.ts';
import { letRunNow } from '../recovery.ts';
import { asleep } from '../run-state/assert-run-state.ts';
import type { LiveLimits, LiveProgress, LiveReport } from './live-options.ts';

/** Events of a guest that may have come to an end of its own; only what QEMU records then tells. */
const ENDINGS = new Set(['SHUTDOWN', 'GUEST_PANICKED', 'WATCHDOG', 'BLOCK_IO_ERROR']);

/** Time in milliseconds from QEMU's look for dirty pages to its STOP, if what it has found is little. */
const GRACE_MS = 100;

interface Watching {
  /** True when the guest need not go on after the save, so that it may fall asleep meanwhile. */
  readonly maySleep: boolean;
  /** Hears that the guest's owner has stopped it, or lets it run again. */
  readonly tellOwners: (isStopped: boolean) => void;
}

/** A guest that goes on while QEMU writes its memory, until QEMU stops it; or the save does, at a bound. */
export class LiveGuest implements AsyncDisposable {
  readonly #qmp: QmpClient;
  readonly #limits: LiveLimits;
  readonly #maySleep: boolean;
  readonly #events: QmpEvents;
  readonly #failing = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  #passes = 0;
  /** QEMU's last count while the guest ran. */
  #count: MigrationRamInfo | undefined;
  #stopping: Promise<void> | undefined;
  #stoppedAtMs: number | undefined;
  #resumedAtMs: number | undefined;
  #stoodStillAtEnd: boolean | undefined;
  #mayHaveEnded = false;
  readonly #tellOwners: (isStopped: boolean) => void;
  /** The STOP that is looked into, or that the owner has made. */
  #stop: symbol | undefined;
  #isOwners = false;

  private constructor(qmp: QmpClient, limits: LiveLimits, { maySleep, tellOwners }: Watching) {
    this.#qmp = qmp;
    this.#tellOwners = tellOwners;
    this.#limits = limits;
    this.#maySleep = maySleep;
    const { maxLiveMs } = limits;
    if (maxLiveMs !== undefined) this.#timer = setTimeout(() => this.#reach(`${maxLiveMs} ms`), maxLiveMs);
    // The filter sees events as they come in: an answer that comes after them must not be read before them.
    this.#events = qmp.events((event) => {
      this.#see(event);
      return false;
    });
  }

  /**
   * Watches a guest from now on: its time begins. Dispose of it when the save is over.
   */
  static watch(qmp: QmpClient, limits: LiveLimits, watching: Watching): LiveGuest {
    return new LiveGuest(qmp, limits, watching);
  }

  /** True when the guest's owner has stopped it meanwhile, and it is to stay so. */
  get isOwners(): boolean {
    return this.#isOwners;
  }

  /** The caller's signal, or one that also ends with the failure of a bound. */
  within(signal: AbortSignal | undefined): AbortSignal {
    const failing = this.#failing.signal;
    return signal === undefined ? failing : AbortSignal.any([signal, failing]);
  }

  /** Takes QEMU's answer on the way. */
  see({ status, ram }: MigrationInfo): void {
    // QEMU counts what is left, and how fast pages change, only until the end.
    if (ram !== undefined && this.#stoppedAtMs === undefined && status === 'active') this.#count = ram;
    this.#passes = Math.max(this.#passes, ram?.passes ?? 0);
    if (status === 'completed') this.#complete();
  }

  get progress(): LiveProgress {
    const { dirtyPagesPerSecond, remainingBytes } = this.#count ?? {};
    return { pass: this.#passes, dirtyPagesPerSecond, remainingBytes };
  }

  get report(): LiveReport {
    const { dirtyPagesPerSecond } = this.progress;
    return { passes: this.#passes, dirtyPagesPerSecond, converged: this.#stopping === undefined };
  }

  /** True when the guest may have come to an end of its own meanwhile: shut down, panicked. */
  get mayHaveEnded(): boolean {
    return this.#mayHaveEnded;
  }

  /** Pages that the guest changes are written more than once. */
  get stoodStill(): boolean {
    return false;
  }

  /** Milliseconds from QEMU's STOP to its RESUME, by QEMU's clock; undefined when the guest does not run again. */
  get pauseMs(): number | undefined {
    if (this.#stoppedAtMs === undefined || this.#resumedAtMs === undefined) return undefined;
    return this.#resumedAtMs - this.#stoppedAtMs;
  }

  /**
   * Makes sure that the guest was stopped for the end of the save, and stood still from then on. Call it when QEMU has
   * reported success.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU; as {@link QmpClient.execute} when the guest could not be stopped at a
   *   bound
   */
  async assertStoodStill(): Promise<void> {
    this.#endTimers();
    // A `stop` that QEMU has not carried out yet must not stop the guest after it was let run.
    await this.#stopping;
    this.#complete();
    if (this.#stoodStillAtEnd === true) return;
    const what = this.#stoppedAtMs === undefined ? 'was not stopped' : 'was let run by somebody else';
    throw new MappedRamError(
      'ERR_MAPPED_RAM_QEMU',
      `the guest ${what} while the last of its memory was saved, so what was saved is no state of it`,
    );
  }

  /** Lets the guest run again, after `migrateOut` has settled. @throws {MappedRamError} as {@link QmpClient.execute} */
  async letRun(): Promise<void> {
    await letRunNow(this.#qmp);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#endTimers();
    await this.#events.return();
  }

  #see({ event, data, timestampMs }: QmpEvent): void {
    if (ENDINGS.has(event)) this.#mayHaveEnded = true;
    if (event === 'STOP') {
      this.#stoppedAtMs = timestampMs;
      this.#resumedAtMs = undefined;
      if (this.#stopping === undefined) void this.#findOut();
    } else if (event === 'RESUME') {
      // While QEMU iterates, anybody may let the guest run again: QEMU follows it, and stops it once more.
      if (this.#stoppedAtMs !== undefined) this.#resumedAtMs = timestampMs;
      this.#stop = undefined;
      if (this.#isOwners) this.#tell(false);
    } else if (event === 'MIGRATION' && data['status'] === 'completed') {
      this.#complete();
    } else if (event === 'MIGRATION_PASS' && typeof data['pass'] === 'number') {
      this.#passes = data['pass'];
      const { maxPasses } = this.#limits;
      if (this.#passes > maxPasses && this.#runs)
        this.#reach(maxPasses === 1 ? 'one pass' : `${maxPasses} passes`);
    } else if (event === 'SUSPEND' && !this.#maySleep) {
      // After the save QEMU could not let it go on (docs/format.md §4.3).
      this.#failing.abort(asleep('suspended'));
    }
  }

  /** Asks who has stopped the guest. QEMU says so for its own end of the migration: it leaves `paused` to others. */
  async #findOut(): Promise<void> {
    const stop = Symbol('stop');
    this.#stop = stop;
    // A QEMU that does not answer is the business of the save.
    const answer = await this.#qmp.execute('query-status').catch(() => undefined);
    if (this.#stop === stop && answer?.status === 'paused') this.#tell(true);
  }

  #tell(isOwners: boolean): void {
    this.#isOwners = isOwners;
    this.#tellOwners(isOwners);
  }

  #endTimers(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#grace);
  }

  #complete(): void {
    this.#stoodStillAtEnd ??= this.#stoppedAtMs !== undefined && this.#resumedAtMs === undefined;
  }

  /** True while the guest runs, as far as its events tell. */
  get #runs(): boolean {
    return this.#stoppedAtMs === undefined || this.#resumedAtMs !== undefined;
  }

  /** Notes a bound. QEMU gets a moment: with the same look for dirty pages it may find that the rest is small. */
  #reach(bound: string): void {
    this.#grace ??= setTimeout(() => this.#end(bound), GRACE_MS);
  }

  /** Carries out what the caller wants at a bound, unless QEMU has stopped the guest. */
  #end(bound: string): void {
    if (!this.#runs || this.#stopping !== undefined || this.#stoodStillAtEnd !== undefined) return;
    if (this.#limits.whenNotConverging === 'abandon') {
      void this.#abandon(bound);
      return;
    }
    const stopped = this.#qmp.execute('stop').then(() => undefined);
    stopped.catch((error: unknown) => this.#failing.abort(error));
    this.#stopping = stopped;
  }

  async #abandon(bound: string): Promise<void> {
    try {
      this.see(await queryMigration(this.#qmp));
      this.#failing.abort(notConverging(bound, this.progress));
    } catch (error) {
      this.#failing.abort(error);
    }
  }
}

function notConverging(bound: string, { dirtyPagesPerSecond, remainingBytes }: LiveProgress): MappedRamError {
  const left = remainingBytes === undefined ? '' : `: ${remainingBytes} bytes were left to write`;
  const rate =
    dirtyPagesPerSecond === undefined ? '' : `, and it changes ${dirtyPagesPerSecond} pages a second`;
  return new MappedRamError(
    'ERR_MAPPED_RAM_TIMEOUT',
    `the guest changes its memory too fast for a live save of ${bound}${left}${rate}; allow a longer pause (downtimeLimitMs) or more passes (maxPasses), or let the save stop the guest (whenNotConverging: stop)`,
  );
}
