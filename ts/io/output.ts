import type { LocalFile } from './open-source.ts';

/** What takes bytes at offsets. */
export interface ByteOutput {
  /** Puts all of the bytes there. They may change once the promise has settled. */
  readonly writeAt: (bytes: Uint8Array, offset: number) => Promise<void>;
}

/**
 * Where a snapshot goes. It is written in any order, and becomes visible by `publish` after `finish`. Disposal drops what
 * was not published.
 */
export interface Output extends ByteOutput, AsyncDisposable {
  /** As errors call it. */
  readonly name: string;
  /** Where the stream starts. What lies before is not this output's business. */
  readonly offset: number;
  /** The file that is written, for the engine and for QEMU; undefined where there is none on this host. */
  readonly file: LocalFile | undefined;
  /**
   * Gives the output its size, and makes it read as zeros behind its offset. Called before the first byte, and perhaps
   * again with a larger size.
   */
  readonly allocate: (size: number) => Promise<void>;
  /** Makes all that was written durable: what can fail for want of space fails here. */
  readonly finish: () => Promise<void>;
  /** Makes the output visible. */
  readonly publish: () => Promise<void>;
}
