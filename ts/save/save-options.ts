import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { SaveRequest, Switch, Writer } from '../negotiate/request.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { SealingOptions } from '../seal/sealing.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';

/**
 * What the guest does after its save: it runs (`cont`); it stays stopped, QEMU says `postmigrate` (`stop`); or QEMU ends
 * (`quit`).
 */
export type AfterSave = 'cont' | 'stop' | 'quit';

export interface SaveOptions
  extends
    Omit<SaveRequest, 'direction' | 'target'>,
    Pick<TransferOptions, 'queueDepth' | 'requestSize' | 'ioEngine'>,
    Pick<SealingOptions, 'seal' | 'sealPath'>,
    Pick<WaitOptions, 'signal'> {
  /**
   * What becomes of the guest when it is saved. QEMU saves a guest that it has left `postmigrate` only after it has run
   * again. @default what it did before: `cont` if it ran, else `stop`
   */
  readonly after?: AfterSave | undefined;
  /** Whether an existing snapshot may be replaced. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * A small process beside this one that lets the guest go on, should this one be killed in the middle of the save.
   * @default 'auto': where the connection to QEMU is a socket
   */
  readonly guard?: Switch | undefined;
  /** Milliseconds that QEMU may take to write. @default no limit */
  readonly timeoutMs?: number | undefined;
  /** Called at each step, and now and then between. What it throws is ignored. */
  readonly onProgress?: ((progress: SaveProgress) => void) | undefined;
}

export interface SaveProgress {
  /** QEMU writes its device state, somebody writes the memory, the file is checked and made durable. */
  readonly step: 'state' | 'memory' | 'publish';
  /** Bytes of guest memory. */
  readonly bytesTotal: number;
  /** Zero pages included. */
  readonly bytesDone: number;
  /** Bytes of pages that go to the file; the other bytes done were zero pages. */
  readonly dataBytes: number;
  /** Pages done, zero pages included. */
  readonly pages: number;
  readonly zeroPages: number;
  /** Bytes done per second since the memory's beginning; 0 while that cannot be told. */
  readonly bytesPerSecond: number;
  /** Milliseconds until the memory is done, at this rate; undefined while that cannot be told. */
  readonly remainingMs: number | undefined;
  /** Milliseconds since the call. */
  readonly elapsedMs: number;
}

export interface SaveResult {
  /** The snapshot's path; undefined when the save went elsewhere than into a file of this host. */
  readonly path: string | undefined;
  /** Where the stream starts in it. */
  readonly offset: number;
  /** Apparent size of the file in bytes; undefined without a path. */
  readonly size: number | undefined;
  /**
   * Whether the file was found complete and fsynced before it got its name. False for targets that cannot be looked into
   * from here (sockets, pipes, fdsets of the caller's): there QEMU's word is all there is.
   */
  readonly verified: boolean;
  readonly writer: Writer;
  /** Why, in words. */
  readonly writerWhy: string;
  readonly format: SavePlan['format'];
  /** All that was decided, and why. */
  readonly plan: SavePlan;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** How the engine wrote the memory, when it did. */
  readonly transfer: TransferReport | undefined;
  /** The seal's path; undefined without one. */
  readonly seal: string | undefined;
  /** QEMU's report of its part. */
  readonly migration: MigrationInfo;
  /** What QEMU says of the guest now: `running`, `postmigrate`; undefined when it has quit. */
  readonly runState: string | undefined;
  /** What may be wrong, in words. */
  readonly warnings: readonly string[];
  /** Milliseconds for which the guest stood still; undefined when it did before, or still does. */
  readonly pauseMs: number | undefined;
  /** Milliseconds for all of it. */
  readonly elapsedMs: number;
}
