/**
 * Encodes runs of equal bytes and runs of others: as little as a reader of xbzrle can take for granted (docs/format.md
 * §3). It compares byte by byte, unlike QEMU, which joins short runs.
 */
export function encodeXbzrle(before: Uint8Array, after: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  let position = 0;
  for (;;) {
    let skip = 0;
    while (position + skip < after.length && before[position + skip] === after[position + skip]) skip += 1;
    const start = position + skip;
    let end = start;
    while (end < after.length && before[end] !== after[end]) end += 1;
    if (start === end) return Uint8Array.from(bytes);
    bytes.push(...uleb128(skip), ...uleb128(end - start), ...after.subarray(start, end));
    position = end;
  }
}

export function uleb128(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >> 7];
}
