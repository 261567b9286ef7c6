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
    const start = NOTE_HEADER_BYTES + padded(ascii.length);
    const { byteLength } = this.#view;
    const note = new Uint8Array(start + padded(byteLength));
    const header = new DataView(note.buffer);
    header.setUint32(0, ascii.length, true);
    header.setUint32(4, byteLength, true);
    header.setUint32(8, type, true);
    note.set(ascii, NOTE_HEADER_BYTES);
    note.set(new Uint8Array(this.#view.buffer), start);
    return note;
  }
}

/** Bytes of a note's header: the lengths of name and description, and the type. */
export const NOTE_HEADER_BYTES = 12;

/** The length in bytes of a note's name or description with its padding. */
export function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}
