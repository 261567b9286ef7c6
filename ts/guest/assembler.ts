import { MappedRamError } from '../errors.ts';

interface Fixup {
  readonly at: number;
  readonly size: 1 | 2 | 4;
  readonly label: string;
  /** A relative fixup counts from the byte behind it, as x86 jumps do. */
  readonly relative: boolean;
}

/**
 * Just enough of an assembler for one boot sector: bytes as they come, and labels that are filled in at the end. The
 * caller chooses the opcodes, and writes the instruction beside its bytes.
 */
export class Assembler {
  readonly #origin: number;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: Fixup[] = [];

  /** @param origin the address at which the first byte will run */
  constructor(origin: number) {
    this.#origin = origin;
  }

  emit(...bytes: readonly number[]): this {
    for (const byte of bytes) this.#bytes.push(byte & 0xff);
    return this;
  }

  /** Emits a 32-bit little-endian word, behind the opcode bytes given first. */
  emit32(value: number, ...opcode: readonly number[]): this {
    return this.emit(...opcode, value, value >>> 8, value >>> 16, value >>> 24);
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw internal(`label ${name} is defined twice`);
    this.#labels.set(name, this.#origin + this.#bytes.length);
    return this;
  }

  /** Emits the opcode bytes, then the distance to a label in 8 bits: short jumps. */
  short(label: string, ...opcode: readonly number[]): this {
    return this.#fixup(label, 1, true, opcode);
  }

  /** Emits the opcode bytes, then the distance to a label in 32 bits: `call` and long jumps. */
  near(label: string, ...opcode: readonly number[]): this {
    return this.#fixup(label, 4, true, opcode);
  }

  /** Emits the opcode bytes, then a label's address in 16 bits. */
  address16(label: string, ...opcode: readonly number[]): this {
    return this.#fixup(label, 2, false, opcode);
  }

  /** Emits the opcode bytes, then a label's address in 32 bits. */
  address32(label: string, ...opcode: readonly number[]): this {
    return this.#fixup(label, 4, false, opcode);
  }

  /** Fills up with zeros until the next byte is the one at `offset` of the image. */
  padTo(offset: number): this {
    if (this.#bytes.length > offset)
      throw internal(`code of ${this.#bytes.length} bytes runs past ${offset}`);
    while (this.#bytes.length < offset) this.#bytes.push(0);
    return this;
  }

  /** Returns the image, with every label filled in. */
  assemble(): Uint8Array {
    const image = Uint8Array.from(this.#bytes);
    const view = new DataView(image.buffer);
    for (const { at, size, label, relative } of this.#fixups) {
      const target = this.#labels.get(label);
      if (target === undefined) throw internal(`label ${label} is not defined`);
      const value = relative ? target - (this.#origin + at + size) : target;
      if (size === 1 && (value < -128 || value > 127))
        throw internal(`label ${label} is too far for a short jump`);
      if (size === 1) view.setInt8(at, value);
      else if (size === 2) view.setUint16(at, value, true);
      else view.setUint32(at, value, true);
    }
    return image;
  }

  #fixup(label: string, size: 1 | 2 | 4, relative: boolean, opcode: readonly number[]): this {
    this.emit(...opcode);
    this.#fixups.push({ at: this.#bytes.length, size, label, relative });
    return this.emit(...Array.from({ length: size }, () => 0));
  }
}

function internal(message: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `boot sector: ${message}`);
}
