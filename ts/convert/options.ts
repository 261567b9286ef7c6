import type { Readable, Writable } from 'node:stream';

import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { SnapshotTarget } from '../snapshot/snapshot-target.ts';

/**
 * The two forms in which QEMU writes a guest into a file. `stream` is what it writes without the capability mapped-ram.
 */
export type StreamForm = 'mapped-ram' | 'stream';

/**
 * A file in either form, a libvirt save image with one inside, also one that is open and stays so; or a plain stream as
 * it comes: a pipe by its path or descriptor (Linux), a `Readable` or another async iterable of bytes. It is read once,
 * front to back, and destroyed at an abort.
 */
export type ConvertSource = SnapshotSource | Snapshot | Readable | AsyncIterable<Uint8Array>;

/** Where the result goes; a plain stream may go to a `Writable`, which is not ended. */
export type ConvertTarget = SnapshotTarget | Writable;

/**
 * The options of the engine (`channels`, `queueDepth`, `requestSize`, `engine`, `directIo: 'on'`) are for mapped-ram to
 * mapped-ram, where direct I/O is that of the result: the source is read through the page cache.
 */
export interface ConvertOptions extends TransferOptions {
  /** The form of the result. @default 'mapped-ram' */
  readonly to?: StreamForm | undefined;
  /** Whether an existing file may be replaced. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * Of a mapped-ram result only: blocks whose zero pages are written too, because a restore does not find their memory
   * empty.
   * @default 'firmware', which means flash devices (`system.flash…`)
   */
  readonly storeZeroPages?: 'firmware' | 'all' | readonly string[] | undefined;
}

export interface ConvertResult {
  /** The result's path, which descriptor it is, or the storage's name. */
  readonly path: string;
  /** Where the stream starts in it. */
  readonly offset: number;
  /** Where it ends: the file's size. */
  readonly size: number;
  readonly from: StreamForm;
  readonly to: StreamForm;
  readonly source: {
    /** As it was named. */
    readonly path: string;
    /** Where the stream started in it: behind libvirt's header, for example. */
    readonly offset: number;
  };
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** Guest memory, in bytes. */
  readonly bytes: number;
  /** Bytes of pages that the result holds; the rest are zero pages. */
  readonly dataBytes: number;
  /** How the engine moved the pages, from mapped-ram to mapped-ram; undefined where a plain stream is involved. */
  readonly transfer: TransferReport | undefined;
  /** Milliseconds for all of it. */
  readonly elapsedMs: number;
}
