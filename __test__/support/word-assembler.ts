/** Puts a distance in bytes into an instruction. */
type Patch = (word: number, distance: number) => number;

/** Assembles instructions of 32 bits each, little-endian, with labels. The code runs at any address. */
export class WordAssembler {
  readonly #words: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #jumps: { readonly index: number; readonly label: string; readonly patch: Patch }[] = [];

  label(name: string): this {
    if (this.#labels.has(name)) throw new RangeError(`a second label ${name}`);
    this.#labels.set(name, this.#words.length);
    return this;
  }

  emit(...words: readonly number[]): this {
    this.#words.push(...words.map((word) => word >>> 0));
    return this;
  }

  /** Emits an instruction that names a label. */
  jump(word: number, label: string, patch: Patch): this {
    this.#jumps.push({ index: this.#words.length, label, patch });
    return this.emit(word);
  }

  assemble(): Uint8Array {
    const words = Uint32Array.from(this.#words);
    for (const { index, label, patch } of this.#jumps) {
      const target = this.#labels.get(label);
      if (target === undefined) throw new RangeError(`no label ${label}`);
      words[index] = patch(words[index] ?? 0, (target - index) * 4) >>> 0;
    }
    const bytes = new Uint8Array(words.length * 4);
    const view = new DataView(bytes.buffer);
    for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
    return bytes;
  }
}
