import { type FileHandle, open } from 'node:fs/promises';

import { zeroTest } from '../../pages/page-bits.ts';
import type { RamBlockRow } from './query-ram-blocks.ts';

/** The smallest pages of a host, in bytes, in which zeros are looked for. */
const PAGE = 4096;
/** The largest base page of any host; larger pages are huge ones. */
const LARGEST_BASE = 2 ** 16;
/** Pages that are looked at together. */
const WINDOW_PAGES = 512;
/** Bytes of an entry of /proc/PID/pagemap, and the bits of its last byte: the page is in memory, or swapped out. */
const ENTRY = 8;
const IS_THERE = 0xc0;
/** The most bytes of memory that are looked at; 2 MiB of pagemap tell of a GiB. */
const MOST = 16 * 2 ** 30;

const isZero = zeroTest(PAGE);

/**
 * Counts the bytes of a guest's memory in pages that are not all zero, as they are now. Memory that QEMU never touched
 * stays untouched.
 * @param enough the count goes on until it is more
 * @returns 0 where this process may not look; less than there is in very large guests
 */
export async function dataInMemory(
  pid: number,
  rows: readonly RamBlockRow[],
  enough: number,
): Promise<number> {
  const files: FileHandle[] = [];
  try {
    for (const name of ['pagemap', 'mem']) files.push(await open(`/proc/${pid}/${name}`, 'r'));
    const [pagemap, memory] = files;
    if (pagemap === undefined || memory === undefined) return 0;
    let [data, looked] = [0, 0];
    for (const { hostAddress, usedLength, hostPageSize } of rows) {
      if (hostAddress === undefined) continue;
      // Huge pages have an entry for each small page.
      const pageSize = hostPageSize > LARGEST_BASE ? PAGE : hostPageSize;
      const window = WINDOW_PAGES * pageSize;
      for (let at = 0; at < usedLength && data <= enough && looked < MOST; at += window) {
        const length = Math.min(window, usedLength - at);
        looked += length;
        data += await dataIn({ pagemap, memory, pageSize }, hostAddress + at, length);
      }
    }
    return data;
  } catch {
    // No process of this host, another user's, or a kernel that shows neither.
    return 0;
  } finally {
    for (const file of files) await file.close();
  }
}

interface Process {
  readonly pagemap: FileHandle;
  readonly memory: FileHandle;
  readonly pageSize: number;
}

async function dataIn(
  { pagemap, memory, pageSize }: Process,
  address: number,
  length: number,
): Promise<number> {
  const count = Math.ceil(length / pageSize);
  const entries = new Uint8Array(count * ENTRY);
  const { bytesRead } = await pagemap.read(entries, 0, entries.length, (address / pageSize) * ENTRY);
  const pages = Math.floor(bytesRead / ENTRY);
  const isThere = (page: number): boolean =>
    page < pages && ((entries[page * ENTRY + ENTRY - 1] ?? 0) & IS_THERE) !== 0;
  let data = 0;
  for (let start = 0; start < pages; start += 1) {
    if (!isThere(start)) continue;
    let end = start;
    while (isThere(end)) end += 1;
    const bytes = Buffer.allocUnsafe((end - start) * pageSize);
    const { bytesRead: found } = await memory.read(bytes, 0, bytes.length, address + start * pageSize);
    for (let at = 0; at + PAGE <= found; at += PAGE) if (!isZero(bytes.subarray(at, at + PAGE))) data += PAGE;
    start = end;
  }
  return data;
}
