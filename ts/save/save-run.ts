import type { SavePlan } from '../negotiate/plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import type { SaveOptions } from './save-options.ts';
import type { ProgressTeller } from './save-progress.ts';
import type { StoppedGuest } from './stopped-guest.ts';
import type { Sealing } from '../seal/sealing.ts';
import type { Output } from '../io/output.ts';

/** One save under way: QEMU has the plan's settings, and the guest stands still. */
export interface SaveRun {
  readonly qmp: QmpClient;
  readonly plan: SavePlan;
  readonly options: SaveOptions;
  /** The tag of every descriptor that QEMU is given (`FdSet.of`). */
  readonly tag: string;
  /** QEMU's run state before the guest was stopped for the save. */
  readonly before: string;
  readonly guest: StoppedGuest;
  readonly progress: ProgressTeller;
}

/** A save into a file that this process publishes. */
export interface FileSaveRun extends SaveRun {
  readonly output: Output;
  readonly sealing: Sealing;
}

export interface Written {
  readonly migration: MigrationInfo;
  readonly transfer: TransferReport | undefined;
  readonly size: number | undefined;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly warnings: readonly string[];
}
