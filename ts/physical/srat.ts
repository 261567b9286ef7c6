/** RAM of one NUMA node, from the ACPI table SRAT. Address and length are in bytes. */
export interface NodeRange {
  readonly node: number;
  readonly address: number;
  readonly length: number;
}

const HEADER = 36;
/** The entries follow the header, a revision and reserved bytes. */
const ENTRIES = HEADER + 12;
const MEMORY_AFFINITY = { type: 1, length: 40 };
const ENABLED = 1;
const HOT_PLUGGABLE = 2;

/**
 * The memory of the NUMA nodes, by the ACPI tables that QEMU made (the block `/rom@etc/acpi/tables`). Memory devices'
 * ranges are left out. The list is empty when there is no table SRAT: QEMU makes one for guests with NUMA nodes.
 */
export function nodeRanges(tables: Uint8Array): readonly NodeRange[] {
  const view = new DataView(tables.buffer, tables.byteOffset, tables.byteLength);
  // The tables follow each other; zeros follow the last.
  for (let at = 0; at + HEADER <= tables.length;) {
    const signature = String.fromCodePoint(...tables.subarray(at, at + 4));
    const end = at + view.getUint32(at + 4, true);
    if (!/^[A-Z][A-Z0-9]{3}$/.test(signature) || end < at + HEADER || end > tables.length) break;
    if (signature === 'SRAT') return [...memoryEntries(view, at + ENTRIES, end)];
    at = end;
  }
  return [];
}

function* memoryEntries(view: DataView, start: number, end: number): Generator<NodeRange, void, void> {
  for (let at = start; at + 2 <= end;) {
    const [type, size] = [view.getUint8(at), view.getUint8(at + 1)];
    if (size < 2 || at + size > end) return;
    if (type === MEMORY_AFFINITY.type && size >= MEMORY_AFFINITY.length) {
      const flags = view.getUint32(at + 28, true);
      const address = Number(view.getBigUint64(at + 8, true));
      const length = Number(view.getBigUint64(at + 16, true));
      const isRam = (flags & ENABLED) !== 0 && (flags & HOT_PLUGGABLE) === 0 && length > 0;
      if (isRam && Number.isSafeInteger(address + length)) {
        yield { node: view.getUint32(at + 2, true), address, length };
      }
    }
    at += size;
  }
}
