import type { SavePlan } from '../negotiate/plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { SaveAhead } from './ahead/save-ahead.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import type { CaptureReport, SaveOptions } from './save-options.ts';
import type { ProgressTeller } from './save-progress.ts';
import type { StoppedGuest } from './stopped-guest.ts';
import type { LiveGuest } from './live/live-guest.ts';
import type { LiveReport } from './live/live-options.ts';
import type { Sealing } from '../seal/sealing.ts';
import type { Output } from '../io/output.ts';

/** One save under way, whose guest is claimed. */
export interface SaveRun {
  readonly qmp: QmpClient;
  readonly plan: SavePlan;
  readonly options: SaveOptions;
  /** The tag of every descriptor that QEMU is given (`FdSet.of`). */
  readonly tag: string;
  /** QEMU's run state before the guest was stopped for the save. */
  readonly before: string;
  readonly progress: ProgressTeller;
  /** What was made before the save was called. */
  readonly ahead?: SaveAhead | undefined;
  /** Called when the whole snapshot is in its file. It is checked when the promise has settled. */
  readonly whenWritten?: (() => Promise<void>) | undefined;
  /** True for a save without a name, whose pages reach a disk only if its caller's file is on one. */
  readonly inMemory: boolean;
}

/** A save into a file that this process publishes. */
export interface FileSaveRun extends SaveRun {
  readonly output: Output;
  readonly sealing: Sealing;
}

/** A writer that has everything that it can have while the guest still runs. Disposal lets all of that go. */
export interface ReadyWriter extends AsyncDisposable {
  /**
   * Writes a guest that stands still, or one that QEMU stops at the end, in a QEMU that has the plan's settings.
   * @param whenRead called as soon as the guest need not stand still for the writer any more; what can wait comes after
   */
  readonly write: (guest: StoppedGuest | LiveGuest, whenRead: () => Promise<void>) => Promise<Written>;
}

export interface Written {
  /** QEMU's report; undefined when there was no migration. */
  readonly migration: MigrationInfo | undefined;
  /** The account of a guest that was taken out of QEMU's process. */
  readonly capture?: CaptureReport | undefined;
  readonly transfer: TransferReport | undefined;
  readonly size: number | undefined;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly warnings: readonly string[];
  /** The account of a live save. */
  readonly live?: LiveReport | undefined;
  /** The run state in which a guest that ran was found at the end, when it had come to an end of its own. */
  readonly endedAs?: string | undefined;
}
