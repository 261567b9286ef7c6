import type { MachineFacts } from '../ts/bench/machine-facts.ts';
import type { Spread } from '../ts/bench/report.ts';

/** The quantities against which cost is measured: bytes of memory, channels, and zero pages in per cent. */
export const SCALING_AXES = ['size', 'channels', 'zeros'] as const;
export type ScalingAxis = (typeof SCALING_AXES)[number];

/** What scripts/measure-scaling.mjs prints. */
export interface ScalingReport {
  /** Tells this form from that of `mapped-ram bench`. */
  readonly kind: 'scaling';
  readonly schemaVersion: 1;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly elapsedMs: number;
  readonly machine: MachineFacts;
  readonly rounds: number;
  readonly series: readonly ScalingSeries[];
}

/** One kind of work along one quantity. */
export interface ScalingSeries {
  readonly axis: ScalingAxis;
  /** The work in words: `save, zero pages in holes`. */
  readonly name: string;
  readonly points: readonly ScalingPoint[];
}

export interface ScalingPoint {
  /** The quantity: bytes, channels, per cent. */
  readonly at: number;
  /** Bytes of guest memory, zero pages included. */
  readonly size: number;
  readonly milliseconds: Spread;
  /** CPU milliseconds of the process, user and system: the median. */
  readonly cpuMs: number;
  /** Requests for the snapshot: the median. */
  readonly requests: number;
  /** The channels that the engine had. */
  readonly channels: number;
  /** Bytes of pages that moved. */
  readonly dataBytes: number;
}
