import { StringDecoder } from 'node:string_decoder';

import { MappedRamError } from '../errors.ts';

/** The longest line of a real QEMU is the answer to query-qmp-schema: a quarter of a megabyte. */
const LONGEST_LINE = 64 * 1024 * 1024;

/** Cuts a QMP peer's output into messages, one per line. */
export class QmpLines {
  readonly #decoder = new StringDecoder('utf8');
  #parts: string[] = [];
  #length = 0;

  /**
   * Returns the lines that this chunk completes.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE when a line grows beyond 64 Mi characters
   */
  push(chunk: Uint8Array): readonly string[] {
    const pieces = this.#decoder
      .write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      .split('\n');
    const rest = pieces.pop() ?? '';
    const lines = pieces.map((piece, index) => (index === 0 ? this.#take() + piece : piece));
    this.#parts.push(rest);
    this.#length += rest.length;
    if (this.#length > LONGEST_LINE) {
      throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'a QMP message is too long', {
        expected: `at most ${LONGEST_LINE} characters`,
        found: this.#length,
      });
    }
    return lines.filter((line) => line.trim() !== '');
  }

  #take(): string {
    const text = this.#parts.join('');
    this.#parts = [];
    this.#length = 0;
    return text;
  }
}
