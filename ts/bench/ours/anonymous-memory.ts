import { closeSync, openSync, readSync } from 'node:fs';

/** Milliseconds between two looks: the buffers of a transfer stay for as long as it runs. */
const SAMPLE_MS = 5;
const LINE = /^RssAnon:\s+(\d+) kB$/m;

/** Watches the anonymous memory of this process: not its shared memory, and not the files that it maps. */
export class AnonymousMemory implements Disposable {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(8192);
  #peak: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined where the system does not tell. */
  static open(): AnonymousMemory | undefined {
    try {
      return new AnonymousMemory(openSync('/proc/self/status', 'r'));
    } catch {
      return undefined;
    }
  }

  /** Bytes that are resident now; undefined where the system does not tell. */
  get bytes(): number | undefined {
    const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, 0);
    const kibibytes = LINE.exec(this.#buffer.toString('latin1', 0, length))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  }

  /** Looks again and again, until `end`. The work must leave this thread free. */
  begin(): void {
    this.#peak = this.bytes;
    this.#timer = setInterval(this.#look, SAMPLE_MS);
  }

  /** Returns the most bytes since `begin`. */
  end(): number | undefined {
    clearInterval(this.#timer);
    this.#look();
    return this.#peak;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    closeSync(this.#fd);
  }

  readonly #look = (): void => {
    const bytes = this.bytes;
    if (bytes !== undefined && bytes > (this.#peak ?? 0)) this.#peak = bytes;
  };
}
