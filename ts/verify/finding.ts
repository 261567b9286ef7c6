/**
 * The subjects of findings. The codes are stable: match on them, not on the words. docs/verify.md explains each; a test
 * keeps the two in step.
 */
export const FINDING_CODES = [
  // The stream is not in order.
  'stream-corrupt',
  'stream-truncated',
  'stream-unsupported',
  'device-state-unmeasured',
  'ram-missing',
  'ram-unended',
  'section-order',
  'command-unexpected',
  'trailing-bytes',
  // Headers of blocks.
  'header-version',
  'bitmap-misplaced',
  'pages-unaligned',
  'block-skipped',
  // The vmdescription and the sections disagree.
  'vmdescription-missing',
  'vmdescription-invalid',
  'vmdescription-mismatch',
  // Bitmaps and pages.
  'bits-beyond-end',
  'bitmaps-clear',
  'unreadable',
  // The seal.
  'seal-unusable',
  'size-differs',
  'metadata-differs',
  'pages-differ',
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

/** One defect of a snapshot. */
export interface Finding {
  /** An `error` means: do not restore the snapshot. A `warning` is legal, but hardly intended. */
  readonly severity: 'error' | 'warning';
  readonly code: FindingCode;
  /** Words for people, without the file and `offset`. */
  readonly message: string;
  /** Place of the defect, in bytes from the beginning of the file. */
  readonly offset?: number | undefined;
  /** The RAM block. */
  readonly block?: string | undefined;
  /** Pages of the block that differ, or some of them; for `pages-differ` only. */
  readonly pages?: PageRange | undefined;
}

/** Pages that follow each other, by their numbers in the block. */
export interface PageRange {
  readonly first: number;
  readonly count: number;
}
