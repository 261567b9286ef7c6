import type { MappedRamError } from '../errors.ts';

/** One RAM block of a snapshot. Offsets are absolute in the file, sizes in bytes. */
export interface BlockInfo {
  readonly id: string;
  /** The used length. */
  readonly length: number;
  readonly pages: number;
  /** Pages that are in the file. */
  readonly setPages: number;
  /** Pages that are not: they were zero. */
  readonly zeroPages: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  /** The largest power of two that divides `pagesOffset`, up to 1 GiB: what direct I/O can count on. */
  readonly alignment: number;
  /** Listed without pages: with x-ignore-shared the destination has them already (docs/format.md §2.4). */
  readonly skipped: boolean;
}

/** One section of device state. */
export interface SectionInfo {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly offset: number;
  /** With its header and footer. */
  readonly length: number;
  /** Restored before the guest's memory. */
  readonly early: boolean;
}

/** What a snapshot says of itself: read from headers, bitmaps and the tail only. */
export interface SnapshotInfo {
  readonly path: string;
  /** Where the stream starts in the file. */
  readonly offset: number;
  /** Apparent size of the file. */
  readonly size: number;
  /** Bytes that the filesystem has allocated for it. */
  readonly allocated: number;
  readonly machine: string;
  /** QEMU's migration capabilities that both sides must agree on. */
  readonly capabilities: readonly string[];
  readonly form: 'mapped-ram' | 'plain' | undefined;
  readonly pageSize: number;
  /** Blocks of a mapped-ram file; of a plain stream only ids and lengths are known, see `plainBlocks`. */
  readonly blocks: readonly BlockInfo[];
  readonly plainBlocks: readonly { readonly id: string; readonly length: number }[];
  readonly sections: readonly SectionInfo[];
  /** All sections together. */
  readonly deviceStateBytes: number;
  /** The stream was written to its end. */
  readonly complete: boolean;
  /** Every page and bitmap was written; true of a complete file, and of one whose device state cannot be measured. */
  readonly ramComplete: boolean;
  /** Why it is not complete. */
  readonly problem: MappedRamError | undefined;
  /** What is legal, but hardly what was meant. In words. */
  readonly warnings: readonly string[];
}
