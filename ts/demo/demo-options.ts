import type { TransferReport } from '../engine/transfer-options.ts';

export interface DemoOptions {
  /**
   * Directory for the snapshot. @default the system's directory for temporary files, or /var/tmp where that is in
   * memory
   */
  readonly directory?: string | undefined;
  /** The guest's memory in bytes: whole MiB, at least 64 MiB. Less is taken when there is no room. @default 1 GiB */
  readonly size?: number | undefined;
  /** True to keep the snapshot. @default false */
  readonly keep?: boolean | undefined;
  /** Name or path of QEMU. @default `$MAPPED_RAM_QEMU`, or `qemu-system-x86_64` */
  readonly qemu?: string | undefined;
  /** Ends the demo early; nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
  /** Called when a step begins, and again with its time when it is done. */
  readonly onStep?: ((step: DemoStep) => void) | undefined;
}

export interface DemoStep {
  /** The step in words: `boot the guest`. */
  readonly title: string;
  /** Milliseconds that the step took; undefined while it runs. */
  readonly elapsedMs: number | undefined;
}

/** The result of one comparison. */
export interface DemoCheck {
  readonly title: string;
  readonly verified: boolean;
  /** The difference, in words. */
  readonly difference: string | undefined;
}

export interface DemoResult {
  /** `qemu` with a real guest, `synthetic` with synthetic memory where there is no QEMU. */
  readonly mode: 'qemu' | 'synthetic';
  /** The reason why the memory is synthetic. */
  readonly modeWhy: string | undefined;
  /** The QEMU that ran the guest. */
  readonly qemu:
    | { readonly path: string; readonly version: string; readonly accelerator: string }
    | undefined;
  /** Bytes of guest memory. */
  readonly size: number;
  /** The reason why the size is less than asked for. */
  readonly sizeWhy: string | undefined;
  /** The directory that held the guest's memory. */
  readonly memoryDirectory: string;
  /** The directory of the snapshot, which may be gone: see `snapshot`. */
  readonly directory: string;
  /** The snapshot's path, when it was to be kept. */
  readonly snapshot: string | undefined;
  readonly pages: number;
  readonly zeroPages: number;
  /** The engine's report on writing the guest's memory into the snapshot. */
  readonly save: TransferReport;
  /**
   * The engine's report on loading a snapshot into memory: the one that QEMU wrote, or, without QEMU, the one that was
   * saved.
   */
  readonly load: TransferReport;
  /** Milliseconds that QEMU took to load our snapshot. */
  readonly qemuLoadMs: number | undefined;
  /**
   * The number of times that the guest had rewritten its memory: when it was saved, and after it had gone on from the
   * snapshot.
   */
  readonly generation: { readonly saved: number; readonly resumed: number } | undefined;
  readonly checks: readonly DemoCheck[];
  /** True when all checks passed. */
  readonly verified: boolean;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}
