import { closeSync, openSync, readSync } from 'node:fs';

import { Snapshot } from '../../ts/index.ts';
import { bitmapOf } from '../../ts/pages/bitmap-reader.ts';
import { bitAt } from '../../ts/pages/bits.ts';
import { bitmapBytes, pagesIn } from '../../ts/stream/page-area.ts';
import type { MappedRamBlock } from '../../ts/stream/stream-index.ts';
import type { TestGuest } from '../support/qemu.ts';

const PAGES_AT_ONCE = 1024;

/** A page of a snapshot that is not what the stopped guest has. */
export interface DifferingPage {
  readonly block: string;
  readonly page: number;
  /** Bytes from the first that differs to the last. */
  readonly bytes: number;
}

/**
 * Compares every page of every block of a snapshot with the memory of the guest, which stands still since its save. A
 * page whose bit is clear has to be zero in memory.
 * @throws {Error} when the snapshot is not complete, or QEMU has no such block
 */
export async function differingPages(guest: TestGuest, path: string): Promise<readonly DifferingPage[]> {
  await using snapshot = await Snapshot.open(path);
  const rows = await guest.ramBlocks();
  const memory = openSync(`/proc/${guest.qemu.pid}/mem`, 'r');
  const found: DifferingPage[] = [];
  try {
    for (const block of snapshot.completeRam().blocks) {
      const { pageSize } = block.area;
      const row = rows.find(({ id }) => id === block.id);
      if (row?.hva === undefined || row.usedLength !== block.length) throw new Error(`no block ${block.id}`);
      const bits = await bitsOf(snapshot, block);
      const total = pagesIn(block.area);
      const room = Buffer.alloc(2 * PAGES_AT_ONCE * pageSize);
      for (let first = 0; first < total; first += PAGES_AT_ONCE) {
        const length = Math.min(PAGES_AT_ONCE, total - first) * pageSize;
        const there = room.subarray(0, length);
        const saved = room.subarray(room.length - length);
        readWhole(memory, there, row.hva + first * pageSize);
        await readSaved(snapshot, block, bits, first, saved);
        if (there.equals(saved)) continue;
        for (let at = 0; at < length; at += pageSize) {
          const bytes = spread(there.subarray(at, at + pageSize), saved.subarray(at, at + pageSize));
          if (bytes > 0) found.push({ block: block.id, page: first + at / pageSize, bytes });
        }
      }
    }
    return found;
  } finally {
    closeSync(memory);
  }
}

async function bitsOf({ reader }: Snapshot, block: MappedRamBlock): Promise<Uint8Array> {
  const bits = new Uint8Array(bitmapBytes(block.area));
  for await (const { offset, bytes } of bitmapOf(reader, block)) bits.set(bytes, offset);
  return bits;
}

/** Reads pages of a block as QEMU would: those whose bits are clear are zero, whatever the file has in their place. */
async function readSaved(
  { reader }: Snapshot,
  { area: { pageSize, pagesOffset } }: MappedRamBlock,
  bits: Uint8Array,
  first: number,
  into: Buffer,
): Promise<void> {
  const isSet = Array.from({ length: into.length / pageSize }, (_, page) => bitAt(bits, first + page));
  if (isSet.includes(true)) await reader.readInto(into, pagesOffset + first * pageSize);
  for (const [page, set] of isSet.entries()) {
    if (!set) into.fill(0, page * pageSize, (page + 1) * pageSize);
  }
}

/** Bytes from the first that differs to the last; 0 for equal pages. */
function spread(one: Uint8Array, other: Uint8Array): number {
  const first = one.findIndex((byte, at) => byte !== other[at]);
  if (first === -1) return 0;
  return one.findLastIndex((byte, at) => byte !== other[at]) - first + 1;
}

function readWhole(fd: number, bytes: Uint8Array, address: number): void {
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(fd, bytes, done, bytes.length - done, address + done);
    if (read === 0) throw new Error(`QEMU has no memory at ${address + done}`);
    done += read;
  }
}
