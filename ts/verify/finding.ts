/**
 * What a finding is about. Stable: match on it, not on the words. docs/verify.md explains each; a test keeps the two in
 * step.
 */
export const FINDING_CODES = [
  // The stream does not go as it should.
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
  // The vmdescription against what it describes.
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

/** One thing that is not as it should be. */
export interface Finding {
  /** An `error` means: do not restore it. A `warning` is legal, but hardly what was meant. */
  readonly severity: 'error' | 'warning';
  readonly code: FindingCode;
  /** In words, for people; without the file and `offset`. */
  readonly message: string;
  /** Where, in bytes from the beginning of the file. */
  readonly offset?: number | undefined;
  /** The RAM block. */
  readonly block?: string | undefined;
  /** With `pages-differ`: these pages of the block, or some of them. */
  readonly pages?: PageRange | undefined;
}

/** Pages that follow each other, by their numbers in the block. */
export interface PageRange {
  readonly first: number;
  readonly count: number;
}
