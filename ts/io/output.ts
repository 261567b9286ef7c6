import type { LocalFile } from './open-source.ts';

/** A place that takes bytes at offsets. */
export interface ByteOutput {
  /** Puts all of the bytes at the offset. The caller may change them once the promise has settled. */
  readonly writeAt: (bytes: Uint8Array, offset: number) => Promise<void>;
}

/**
 * The place that a snapshot goes to. The snapshot is written in any order, and becomes visible by `publish` after
 * `finish`. Disposal drops a snapshot that was not published.
 */
export interface Output extends ByteOutput, AsyncDisposable {
  /** The name that errors use. */
  readonly name: string;
  /** Offset of the stream in bytes. The bytes before it are not this output's business. */
  readonly offset: number;
  /** The file that is written, for the engine and for QEMU; undefined where there is none on this host. */
  readonly file: LocalFile | undefined;
  /**
   * Gives the output its size, and makes it read as zeros behind its offset. The caller does so before the first byte,
   * and perhaps again with a larger size.
   */
  readonly allocate: (size: number) => Promise<void>;
  /** Makes all written bytes durable: whatever can fail for want of space fails here. */
  readonly finish: () => Promise<void>;
  /** Makes the output visible. */
  readonly publish: () => Promise<void>;
}
