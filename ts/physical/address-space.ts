/** A range of guest-physical addresses whose memory the snapshot has. All numbers are bytes. */
export interface PhysicalRange {
  readonly address: number;
  readonly length: number;
  /** The RAM block that is mapped there. */
  readonly block: string;
  /** Offset of the range in the block. */
  readonly offset: number;
  /** `ram`: the guest's memory. `rom`: firmware and option ROMs. `vram`: of a graphics card. `flash`: pflash. */
  readonly kind: 'ram' | 'rom' | 'vram' | 'flash';
}

/** Ranges that do not overlap: a range that is placed later covers the earlier ones. */
export class AddressSpace {
  #ranges: readonly PhysicalRange[] = [];

  place(range: PhysicalRange): void {
    if (range.length === 0) return;
    this.clear(range.address, range.length);
    this.#ranges = [...this.#ranges, range];
  }

  /** Leaves nothing in a range. */
  clear(address: number, length: number): void {
    const end = address + length;
    this.#ranges = this.#ranges.flatMap((range) => [
      ...part(range, range.address, Math.min(address, range.address + range.length)),
      ...part(range, Math.max(end, range.address), range.address + range.length),
    ]);
  }

  /** The ranges in the order of their addresses; ranges that go on in the same block are one. */
  ranges(): readonly PhysicalRange[] {
    const joined: PhysicalRange[] = [];
    for (const range of this.#ranges.toSorted((left, right) => left.address - right.address)) {
      const last = joined.at(-1);
      if (last !== undefined && goesOn(last, range)) {
        joined[joined.length - 1] = { ...last, length: last.length + range.length };
      } else joined.push(range);
    }
    return joined;
  }
}

/** The part of a range from `start` to `end`. */
export function part(range: PhysicalRange, start: number, end: number): readonly PhysicalRange[] {
  if (start >= end) return [];
  return [{ ...range, address: start, length: end - start, offset: range.offset + (start - range.address) }];
}

function goesOn(left: PhysicalRange, right: PhysicalRange): boolean {
  return (
    left.block === right.block &&
    left.kind === right.kind &&
    left.address + left.length === right.address &&
    left.offset + left.length === right.offset
  );
}
