/** Bits as bitmaps in files have them: bit i is bit i % 8 of byte i / 8 (docs/format.md §2.5). */

/** Tells whether a bit is set; bits behind the last byte are not. */
export function bitAt(bytes: Uint8Array, bit: number): boolean {
  return (((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1;
}

export function setBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >>> 3] = (bytes[bit >>> 3] ?? 0) | (1 << (bit & 7));
}

export function clearBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >>> 3] = (bytes[bit >>> 3] ?? 0) & ~(1 << (bit & 7));
}

/** The first bit from `from` on, before `end`, that differs from `isSet`; `end` when there is none. */
export function endOfBits(bytes: Uint8Array, from: number, end: number, isSet: boolean): number {
  const whole = isSet ? 0xff : 0;
  let at = from;
  while (at < end) {
    if (at % 8 === 0 && bytes[at >>> 3] === whole) at += 8;
    else if (bitAt(bytes, at) === isSet) at += 1;
    else return at;
  }
  return end;
}

/** Runs of set bits before `end`, in order. */
export function* runsOfBits(
  bytes: Uint8Array,
  end: number,
): Generator<{ readonly start: number; readonly end: number }, void, void> {
  for (let at = endOfBits(bytes, 0, end, false); at < end;) {
    const stop = endOfBits(bytes, at, end, true);
    yield { start: at, end: stop };
    at = endOfBits(bytes, stop, end, false);
  }
}
