import { MappedRamError } from '../errors.ts';
import { engineOptions } from '../engine/engine-options.ts';
import { MemoryProgress } from '../engine/memory-progress.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';

/** Windows under way at once, unless the caller knows its storage better. */
const CHANNELS = 4;
const WINDOW = 1 << 20;
const MAX_CHANNELS = 64;
const MAX_WINDOW: number = 16 << 20;

/** A part of a block that one channel works on. Offset and length are in bytes. */
interface Window {
  /** The block's index in the run. */
  readonly block: number;
  /** Offset of the window in the block. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Work on the pages of blocks in JavaScript, window by window on several channels. It is for snapshots that are no
 * files of this host, or two files, which the engine cannot open.
 */
export class WindowRun {
  /** The most bytes of a window. */
  readonly windowBytes: number;
  readonly #lengths: readonly number[];
  readonly #options: TransferOptions;
  readonly #why: string;
  readonly #startedAt = performance.now();
  readonly #progress: MemoryProgress;
  #dataBytes = 0;
  #channels = 0;
  #isOver = false;

  /**
   * @param lengths of the blocks, in bytes
   * @param unit the page size, or that of pieces, in bytes: every window but a block's last is a multiple of it
   * @param why the reason why the engine cannot do the work, in words
   * @throws {MappedRamError} ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE for explicit
   *   choices that need the engine; ERR_MAPPED_RAM_OUT_OF_RANGE, ERR_MAPPED_RAM_INVALID_ARGUMENT
   */
  constructor(lengths: readonly number[], unit: number, why: string, options: TransferOptions) {
    this.#why = why;
    assertChoices(options, this.#why);
    const { channels, requestSize } = engineOptions(options);
    assertWithin('channels', channels ?? 1, 1, MAX_CHANNELS);
    assertWithin('request size', requestSize ?? unit, unit, MAX_WINDOW);
    if (requestSize !== undefined && requestSize % unit !== 0) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'request size', {
        expected: `a multiple of ${unit}`,
        found: requestSize,
      });
    }
    this.#lengths = lengths;
    this.#options = options;
    this.windowBytes = requestSize ?? Math.max(unit, WINDOW);
    this.#progress = new MemoryProgress(sum(lengths), options.onProgress);
  }

  /**
   * Does the work on every window. When the promise settles nothing is under way.
   * @param start sets up one channel, its buffers above all; returns the channel's work on a window
   * @throws the first error; the signal's reason
   */
  async run(start: () => (window: Window) => Promise<void>): Promise<void> {
    const windows = this.#windows();
    const count = Math.ceil(sum(this.#lengths) / this.windowBytes) + this.#lengths.length;
    this.#channels = Math.min(this.#options.channels ?? CHANNELS, Math.max(1, count));
    const channels = Array.from({ length: this.#channels }, () => this.#channel(windows, start));
    const failed = (await Promise.allSettled(channels)).find(({ status }) => status === 'rejected');
    this.#options.signal?.throwIfAborted();
    if (failed?.status === 'rejected') throw failed.reason;
  }

  /** Counts a window that is done, and the bytes of its pages that were in a snapshot. */
  count(bytes: number, dataBytes: number): void {
    this.#dataBytes += dataBytes;
    this.#progress.add(bytes, dataBytes);
  }

  /** Reports on the run once all is done. */
  report(): TransferReport {
    this.#progress.end(this.#dataBytes);
    return {
      ioEngine: 'javascript',
      ioEngineWhy: this.#why,
      registeredBuffers: false,
      directIo: false,
      directIoWhy: this.#why,
      channels: this.#channels,
      queueDepth: 1,
      requestSize: this.windowBytes,
      bytes: sum(this.#lengths),
      dataBytes: this.#dataBytes,
      requests: undefined,
      directRequests: undefined,
      requestBytes: undefined,
      submissions: undefined,
      elapsedMs: performance.now() - this.#startedAt,
    };
  }

  async #channel(windows: Iterator<Window>, start: () => (window: Window) => Promise<void>): Promise<void> {
    try {
      const work = start();
      for (let next = windows.next(); next.done !== true && !this.#isOver; next = windows.next()) {
        this.#options.signal?.throwIfAborted();
        await work(next.value);
      }
    } catch (error) {
      // The other channels end with the windows that they are at.
      this.#isOver = true;
      throw error;
    }
  }

  *#windows(): Generator<Window, void, void> {
    for (const [block, length] of this.#lengths.entries()) {
      for (let offset = 0; offset < length; offset += this.windowBytes) {
        yield { block, offset, length: Math.min(this.windowBytes, length - offset) };
      }
    }
  }
}

/** An explicit choice never falls back. */
function assertChoices({ ioEngine = 'auto', directIo = 'auto' }: TransferOptions, why: string): void {
  if (ioEngine !== 'auto') {
    throw new MappedRamError('ERR_MAPPED_RAM_ENGINE_UNAVAILABLE', `${why}, which the engine cannot open`, {
      expected: 'ioEngine auto',
      found: ioEngine,
    });
  }
  if (directIo === 'on') {
    throw new MappedRamError('ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE', why, {
      expected: 'directIo auto or off',
      found: directIo,
    });
  }
}

function assertWithin(what: string, value: number, min: number, max: number): void {
  if (value >= min && value <= max) return;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', what, {
    expected: `${min} to ${max}`,
    found: value,
  });
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}
