import { closeSync, openSync, readSync } from 'node:fs';

import { systemCode } from '../../ts/errors.ts';
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
 * @param from the snapshot that pages come from which QEMU does not have yet
 * @throws {Error} when the snapshot is not complete, or QEMU has no such block
 */
export async function differingPages(
  guest: TestGuest,
  path: string,
  from?: string,
): Promise<readonly DifferingPage[]> {
  await using snapshot = await Snapshot.open(path);
  await using source = from === undefined ? undefined : await Snapshot.open(from);
  const rows = await guest.ramBlocks();
  const memory = openSync(`/proc/${guest.qemu.pid}/mem`, 'r');
  const found: DifferingPage[] = [];
  try {
    for (const block of snapshot.completeRam().blocks) {
      const { pageSize } = block.area;
      const row = rows.find(({ id }) => id === block.id);
      if (row?.hva === undefined || row.usedLength !== block.length) throw new Error(`no block ${block.id}`);
      const bits = await bitsOf(snapshot, block);
      const below = source?.completeRam().blocks.find(({ id }) => id === block.id);
      const bitsBelow = source && below && (await bitsOf(source, below));
      const total = pagesIn(block.area);
      const room = Buffer.alloc(2 * PAGES_AT_ONCE * pageSize);
      for (let first = 0; first < total; first += PAGES_AT_ONCE) {
        const length = Math.min(PAGES_AT_ONCE, total - first) * pageSize;
        const there = room.subarray(0, length);
        const saved = room.subarray(room.length - length);
        const missing = readPages(memory, there, row.hva + first * pageSize, pageSize);
        for (const page of missing) {
          if (source === undefined || below === undefined || bitsBelow === undefined)
            throw new Error(`page ${first + page} of block ${block.id} is missing`);
          const place = there.subarray(page * pageSize, (page + 1) * pageSize);
          await readSaved(source, below, bitsBelow, first + page, place);
        }
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

/** Reads pages of a process. @returns those that are not there, by their numbers among these pages */
function readPages(fd: number, bytes: Uint8Array, address: number, pageSize: number): readonly number[] {
  const missing: number[] = [];
  for (let done = 0; done < bytes.length;) {
    try {
      const read = readSync(fd, bytes, done, bytes.length - done, address + done);
      if (read === 0) throw new Error(`QEMU has no memory at ${address + done}`);
      done += read;
    } catch (error) {
      // The kernel waits for no page in the name of another process.
      if (systemCode(error) !== 'EIO' || done % pageSize !== 0) throw error;
      missing.push(done / pageSize);
      done += pageSize;
    }
  }
  return missing;
}
