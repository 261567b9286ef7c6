import type { Writable } from 'node:stream';

import { ioError } from './fd-io.ts';
import type { Output } from './output.ts';

/** A place that takes a plain stream, front to back. */
export interface StreamSink {
  /** Takes the bytes. The caller may change them once the promise has settled. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

/** Writes the stream into an output, from its offset on. */
export class OutputSink implements StreamSink {
  readonly #output: Output;
  #position: number;

  constructor(output: Output) {
    this.#output = output;
    this.#position = output.offset;
  }

  /** Offset of the next bytes. */
  get position(): number {
    return this.#position;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#output.writeAt(bytes, this.#position);
    this.#position += bytes.length;
  }
}

/** Writes the stream into a pipe or whatever else takes bytes. */
export class WritableSink implements StreamSink, Disposable {
  readonly #stream: Writable;
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  #position = 0;

  constructor(stream: Writable, path: string, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#path = path;
    this.#signal = signal;
    stream.on('error', ignore);
  }

  get position(): number {
    return this.#position;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => reject(signal?.reason);
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#stream.write(bytes, (error) => {
        signal?.removeEventListener('abort', giveUp);
        if (error) reject(ioError('cannot write the stream', this.#path, error));
        else resolve();
      });
    });
    this.#position += bytes.length;
  }

  [Symbol.dispose](): void {
    this.#stream.off('error', ignore);
  }
}

/** The callback of a write tells its failure. */
function ignore(): void {
  // An error event without a listener would end the process.
}
