import type { TransferOptions } from '../engine/transfer-options.ts';

/** The way to a whole snapshot: it shares the base's blocks on the disk, or has blocks of its own. */
export type FlattenForm = (typeof FLATTEN_FORMS)[number];
export const FLATTEN_FORMS = ['auto', 'reflink', 'copy'] as const;

export interface FlattenOptions extends Pick<TransferOptions, 'signal' | 'onProgress'> {
  /**
   * `reflink` makes a file that shares the blocks of the base (XFS, btrfs, bcachefs), so that only the pages of the delta
   * are written; `copy` writes all pages. Only `auto` falls back, and the result says why. @default 'auto'
   */
  readonly form?: FlattenForm | undefined;
  /** True when the result may replace an existing file. @default false */
  readonly overwrite?: boolean | undefined;
}

export interface FlattenResult {
  /** The result's path, its descriptor in words, or the storage's name. */
  readonly path: string;
  /** Offset of the stream in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file, in bytes. */
  readonly size: number;
  readonly source: { readonly path: string; readonly base: string };
  readonly form: Exclude<FlattenForm, 'auto'>;
  /** The reason for the form, in words. */
  readonly why: string;
  /** Bytes of pages that were written: of a reflink, those of the delta. */
  readonly dataBytes: number;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}
