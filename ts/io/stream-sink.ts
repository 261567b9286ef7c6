import type { Writable } from 'node:stream';

import { ioError } from './fd-io.ts';
import type { Output } from './output.ts';

/** Where a plain stream goes, front to back. */
export interface StreamSink {
  /** The bytes may change once it has settled. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
}

/** Into an output, from its offset on. */
export class OutputSink implements StreamSink {
  readonly #output: Output;
  #position: number;

  constructor(output: Output) {
    this.#output = output;
    this.#position = output.offset;
  }

  /** Where the next bytes go. */
  get position(): number {
    return this.#position;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#output.writeAt(bytes, this.#position);
    this.#position += bytes.length;
  }
}

/** Into a pipe or whatever else takes bytes. */
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

/** The failure of a write is told by its callback. */
function ignore(): void {
  // Without a listener the event would end the process.
}
