import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { SaveForm, SaveRequest, Switch, Writer } from '../negotiate/request.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { SealingOptions } from '../seal/sealing.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { LiveOptions, LiveProgress, LiveReport } from './live/live-options.ts';

export interface SaveOptions
  extends
    Omit<SaveRequest, 'direction' | 'target' | 'wantsEngine'>,
    Pick<TransferOptions, 'queueDepth' | 'requestSize' | 'ioEngine'>,
    Pick<SealingOptions, 'seal' | 'sealPath'>,
    LiveOptions,
    Pick<WaitOptions, 'signal'> {
  /** True when the result may replace an existing snapshot. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * A small process beside this one that lets the guest go on, should this one be killed in the middle of the save.
   * @default 'auto': where the connection to QEMU is a socket
   */
  readonly guard?: Switch | undefined;
  /**
   * Milliseconds that the save may take, from the first question to QEMU on. Bringing QEMU back comes on top. @default
   * no limit for the save, 60000 for commands
   */
  readonly timeoutMs?: number | undefined;
  /** Called at each step, and now and then between. Exceptions from it are ignored. */
  readonly onProgress?: ((progress: SaveProgress) => void) | undefined;
}

export interface SaveProgress {
  /**
   * `state`: QEMU writes its device state. `memory`: QEMU or the engine writes the memory. `publish`: the file is
   * checked and made durable.
   */
  readonly step: 'state' | 'memory' | 'publish';
  /** Bytes of guest memory. */
  readonly bytesTotal: number;
  /** Bytes of guest memory done so far, zero pages included. */
  readonly bytesDone: number;
  /** Bytes of pages that go to the file; the other bytes done were zero pages. */
  readonly dataBytes: number;
  /** Pages done, zero pages included. */
  readonly pages: number;
  readonly zeroPages: number;
  /** Bytes done per second since the memory's beginning; 0 while the rate is unknown. */
  readonly bytesPerSecond: number;
  /**
   * The state of a live save; undefined in others. What the guest changes has to be written again, so `bytesDone` falls
   * at the beginning of a pass, and `dataBytes`, `pages` and `zeroPages` count a page as often as it was written.
   */
  readonly live: LiveProgress | undefined;
  /** Milliseconds until the memory is done, at this rate; undefined while the rate is unknown. */
  readonly remainingMs: number | undefined;
  /** Milliseconds since the call. */
  readonly elapsedMs: number;
}

/** The account of a save that took the guest out of QEMU's process. */
export interface CaptureReport {
  /** `delta`: the snapshot stands on its base. */
  readonly form: SaveForm;
  /** The reason for the form, in words. */
  readonly formWhy: string;
  /** The path of the base; undefined for a save of all of the memory. */
  readonly base: string | undefined;
  /** Bytes of the pages that only QEMU's process had: those that the guest had changed, or, without a base, used. */
  readonly changedBytes: number;
  /** Bytes of memory that were read for the file while the guest stood still, because the copy had no room for them. */
  readonly bytesInPause: number;
  /** Bytes of this process's memory that were set aside for the copy. */
  readonly copyBytes: number;
}

export interface SaveResult {
  /** The snapshot's path; undefined when the save did not go into a file of this host. */
  readonly path: string | undefined;
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file in bytes; undefined without a path. */
  readonly size: number | undefined;
  /**
   * True when the file was found complete and fsynced before it got its name. False for targets that this process
   * cannot look into (sockets, pipes, fdsets of the caller's): QEMU's word is the only evidence there.
   */
  readonly verified: boolean;
  readonly writer: Writer;
  /** The reason for the writer, in words. */
  readonly writerWhy: string;
  readonly format: SavePlan['format'];
  /** All decisions, with their reasons. */
  readonly plan: SavePlan;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** The engine's report on writing the memory; undefined when QEMU wrote it. */
  readonly transfer: TransferReport | undefined;
  /** The seal's path; undefined without one. */
  readonly seal: string | undefined;
  /** QEMU's report of its part; undefined when QEMU wrote device state alone, outside of a migration. */
  readonly migration: MigrationInfo | undefined;
  /** The account of a guest that was taken out of QEMU's process; undefined for one that QEMU migrated. */
  readonly capture: CaptureReport | undefined;
  /**
   * QEMU's run state of the guest now: `running`; of a guest that stands still, `postmigrate` after a migration, and what
   * it was before (`paused`, `prelaunch`, …) after a save without one; undefined when QEMU has quit.
   */
  readonly runState: string | undefined;
  /** Possible flaws, in words. */
  readonly warnings: readonly string[];
  /** The account of a live save; undefined when the guest stood still while its memory was written. */
  readonly live: LiveReport | undefined;
  /** Milliseconds for which the guest stood still; undefined when it stood still before the save, or still does. */
  readonly pauseMs: number | undefined;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}

/** Makes the part of the options that is negotiated a request. */
export function saveRequest(target: SaveRequest['target'], options: SaveOptions): SaveRequest {
  const { mappedRam, multifd, channels, directIo, xIgnoreShared, fdset } = options;
  const { after, writer, base, form, maxCopyMemory, zeroPageDetection, maxBandwidth, live, downtimeLimitMs } =
    options;
  return {
    direction: 'save',
    target,
    mappedRam,
    multifd,
    channels,
    directIo,
    xIgnoreShared,
    fdset,
    after,
    writer,
    base,
    form,
    maxCopyMemory,
    wantsEngine: engineOption(options) !== undefined,
    zeroPageDetection,
    maxBandwidth,
    live,
    downtimeLimitMs,
  };
}

/** The name of an option that only the engine has, where one was given; undefined without any. */
export function engineOption({
  ioEngine,
  queueDepth,
  requestSize,
  seal,
}: Pick<SaveOptions, 'ioEngine' | 'queueDepth' | 'requestSize' | 'seal'>): string | undefined {
  const given = Object.entries({
    ioEngine: ioEngine === 'auto' ? undefined : ioEngine,
    queueDepth,
    requestSize,
    seal: seal === true || undefined,
  });
  return given.find(([, value]) => value !== undefined)?.[0];
}
