/** The description of a note: fields at fixed places, little-endian, zeros between them. */
export class NoteWriter {
  readonly #view: DataView;
  #position = 0;

  /** @param length of the description, in bytes */
  constructor(length: number) {
    this.#view = new DataView(new ArrayBuffer(length));
  }

  skip(length: number): this {
    this.#position += length;
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#position, value, true);
    return this.skip(2);
  }

  u32(...values: readonly number[]): this {
    for (const value of values) {
      this.#view.setUint32(this.#position, value, true);
      this.skip(4);
    }
    return this;
  }

  u64(...values: readonly bigint[]): this {
    for (const value of values) {
      this.#view.setBigUint64(this.#position, value, true);
      this.skip(8);
    }
    return this;
  }

  /** The whole note: header, name and description, each padded to 4 bytes. */
  finish(name: string, type: number): Uint8Array {
    const ascii = new TextEncoder().encode(`${name}\0`);
    const start = HEADER_BYTES + padded(ascii.length);
    const { byteLength } = this.#view;
    const note = new Uint8Array(start + padded(byteLength));
    const header = new DataView(note.buffer);
    header.setUint32(0, ascii.length, true);
    header.setUint32(4, byteLength, true);
    header.setUint32(8, type, true);
    note.set(ascii, HEADER_BYTES);
    note.set(new Uint8Array(this.#view.buffer), start);
    return note;
  }
}

const HEADER_BYTES = 12;

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}
