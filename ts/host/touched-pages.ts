import { open } from 'node:fs/promises';

/** A stretch of a process's address space, or of a block. */
export interface Stretch {
  /** Bytes from the beginning of what the stretch is in. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Entries of /proc/PID/pagemap that are read at once. */
const ENTRIES = 1 << 17;
const ENTRY_BYTES = 8;
/** Bits 63 and 62 of an entry: the page is in memory, or in swap (proc_pid_pagemap(5)). */
const TOUCHED = 0xc0;

/**
 * Finds the pages of a process's memory that it has touched: read, or written. A page that it has not touched holds what
 * the memory's file holds there, or zeros.
 *
 * @param place the memory in the process's address space; whole pages
 * @param pageSize the host's page size in bytes
 * @returns stretches from the beginning of `place` on
 * @throws the system's error when this process may not look
 */
export async function touchedPages(
  pid: number,
  place: { readonly address: number; readonly length: number },
  pageSize: number,
): Promise<readonly Stretch[]> {
  const found: { offset: number; length: number }[] = [];
  const pagemap = await open(`/proc/${pid}/pagemap`, 'r');
  try {
    const first = place.address / pageSize;
    const pages = place.length / pageSize;
    const buffer = Buffer.allocUnsafe(ENTRIES * ENTRY_BYTES);
    for (let done = 0; done < pages;) {
      const wanted = Math.min(ENTRIES, pages - done);
      const at = (first + done) * ENTRY_BYTES;
      const { bytesRead } = await pagemap.read(buffer, 0, wanted * ENTRY_BYTES, at);
      const entries = Math.floor(bytesRead / ENTRY_BYTES);
      if (entries === 0) throw new RangeError(`process ${pid} has no memory there`);
      for (let entry = 0; entry < entries; entry += 1) {
        // Entries are words of a little-endian host.
        if (((buffer[entry * ENTRY_BYTES + 7] ?? 0) & TOUCHED) === 0) continue;
        const offset = (done + entry) * pageSize;
        const last = found.at(-1);
        if (last !== undefined && last.offset + last.length === offset) last.length += pageSize;
        else found.push({ offset, length: pageSize });
      }
      done += entries;
    }
    return found;
  } finally {
    await pagemap.close();
  }
}
