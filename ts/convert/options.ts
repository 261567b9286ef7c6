import type { Readable, Writable } from 'node:stream';

import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { SnapshotTarget } from '../snapshot/snapshot-target.ts';

/**
 * The two forms in which QEMU writes a guest into a file. QEMU writes a `stream` when its capability mapped-ram is off.
 */
export type StreamForm = (typeof STREAM_FORMS)[number];
export const STREAM_FORMS = ['mapped-ram', 'stream'] as const;

/**
 * The source of a conversion: a file in either form, or a libvirt save image with one inside; a snapshot that is open
 * and stays open; or a plain stream as it comes, which is a pipe by its path or descriptor (Linux), a `Readable` or
 * another async iterable of bytes. Such a stream is read once, front to back, and destroyed at an abort.
 */
export type ConvertSource = SnapshotSource | Snapshot | Readable | AsyncIterable<Uint8Array>;

/** The place of the result. A plain stream may also go to a `Writable`, which is not ended. */
export type ConvertTarget = SnapshotTarget | Writable;

/**
 * The engine's options (`channels`, `queueDepth`, `requestSize`, `ioEngine`, `directIo: 'on'`) apply to mapped-ram to
 * mapped-ram only. Direct I/O is that of the result there: the source is read through the page cache.
 */
export interface ConvertOptions extends TransferOptions {
  /** The form of the result. @default 'mapped-ram' */
  readonly to?: StreamForm | undefined;
  /** True when the result may replace an existing file. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * Blocks whose zero pages are written too, because a restore does not find their memory empty. Applies to a
   * mapped-ram result only. Zero pages that a mapped-ram source has stored stay stored in any case, except in the
   * guest's RAM (`pc.ram`, memory backends, …).
   * @default 'firmware', which means the pflash of any machine (`system.flash0`, `virt.flash1`, …)
   */
  readonly storeZeroPages?: 'firmware' | 'all' | readonly string[] | undefined;
}

export interface ConvertResult {
  /** The result's path, its descriptor in words, or the storage's name. */
  readonly path: string;
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** End of the stream in the file, in bytes: the file's size. */
  readonly size: number;
  readonly from: StreamForm;
  readonly to: StreamForm;
  readonly source: {
    /** The source's name, as the caller gave it. */
    readonly path: string;
    /** Offset of the stream's start in the source, in bytes; behind libvirt's header, for example. */
    readonly offset: number;
  };
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** Guest memory, in bytes. */
  readonly bytes: number;
  /** Bytes of pages that the result holds; the rest are zero pages. */
  readonly dataBytes: number;
  /**
   * The engine's report on moving the pages, from mapped-ram to mapped-ram; undefined where a plain stream is involved.
   */
  readonly transfer: TransferReport | undefined;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}
