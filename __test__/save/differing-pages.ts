import { closeSync, openSync, readSync } from 'node:fs';

import { Snapshot } from '../../ts/index.ts';
import { pagesOf } from '../../ts/pages/bitmap-reader.ts';
import { pagesIn } from '../../ts/stream/page-area.ts';
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
      const { pageSize, pagesOffset } = block.area;
      const row = rows.find(({ id }) => id === block.id);
      if (row?.hva === undefined || row.usedLength !== block.length) throw new Error(`no block ${block.id}`);
      const set = new Set<number>();
      for await (const { page, isSet } of pagesOf(snapshot.reader, block)) if (isSet) set.add(page);
      const total = pagesIn(block.area);
      for (let first = 0; first < total; first += PAGES_AT_ONCE) {
        const count = Math.min(PAGES_AT_ONCE, total - first);
        const length = count * pageSize;
        const there = Buffer.alloc(length);
        readWhole(memory, there, row.hva + first * pageSize);
        const saved = Buffer.from(await snapshot.reader.read(pagesOffset + first * pageSize, length));
        for (let page = 0; page < count; page += 1) {
          if (!set.has(first + page)) saved.fill(0, page * pageSize, (page + 1) * pageSize);
        }
        if (there.equals(saved)) continue;
        for (let page = 0; page < count; page += 1) {
          const [from, to] = [page * pageSize, (page + 1) * pageSize];
          const bytes = spread(there.subarray(from, to), saved.subarray(from, to));
          if (bytes > 0) found.push({ block: block.id, page: first + page, bytes });
        }
      }
    }
    return found;
  } finally {
    closeSync(memory);
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
