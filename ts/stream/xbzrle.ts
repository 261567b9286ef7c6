/**
 * Applies an xbzrle delta to a page (docs/format.md §3): bytes to leave alone and bytes to put in, in turn.
 * @param page the page's current content; holds the new one afterwards
 * @returns false when the delta is malformed or reaches beyond the page; the page's content is undefined then
 */
export function applyXbzrle(delta: Uint8Array, page: Uint8Array): boolean {
  let from = 0;
  let to = 0;
  while (from < delta.length) {
    const skip = readLength(delta, from);
    if (skip === undefined || (skip.value === 0 && from > 0)) return false;
    const literal = readLength(delta, skip.end);
    if (literal === undefined || literal.value === 0) return false;
    to += skip.value;
    from = literal.end + literal.value;
    if (to + literal.value > page.length || from > delta.length) return false;
    page.set(delta.subarray(literal.end, from), to);
    to += literal.value;
  }
  return true;
}

/** An unsigned LEB128 of at most two bytes. */
function readLength(
  bytes: Uint8Array,
  offset: number,
): { readonly value: number; readonly end: number } | undefined {
  const low = bytes[offset];
  if (low === undefined) return undefined;
  if (low < 0x80) return { value: low, end: offset + 1 };
  const high = bytes[offset + 1];
  return high === undefined || high >= 0x80
    ? undefined
    : { value: (low & 0x7f) | (high << 7), end: offset + 2 };
}
