import { readFile, stat } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { filesystemOf, freeBytesIn } from '../host/filesystem.ts';
import type { CheckedBenchOptions } from './bench-options.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Bytes for headers, device state and logs, and for not filling a filesystem to its last byte. */
const FILE_RESERVE = 64 * MIB;
/** Bytes of memory for processes, ours and QEMU's, and for everybody else. */
const MEMORY_RESERVE = 256 * MIB;

/** The most copies of the guest's memory that lie in a folder at any time. */
interface Copies {
  readonly onDisk: number;
  readonly inMemory: number;
}

/**
 * On the disk lie the snapshot and the file that a contender writes, the data that other programs read, and QEMU's own
 * snapshot. In memory lie the guest's memory and one that is loaded; QEMU's guest has its own.
 */
function copiesFor({ work }: CheckedBenchOptions): Copies {
  const [reads, loads] = [
    work.some((kind) => kind !== 'save'),
    work.includes('load') || work.includes('restore'),
  ];
  return { onDisk: 2 + Number(reads) + Number(loads), inMemory: loads || work.includes('save') ? 2 : 1 };
}

/**
 * Refuses a bench for which there is no room, before anything is written. Sizes follow one another: the largest counts.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO naming the folder, the bytes needed and the bytes found
 */
export async function assertRoom(options: CheckedBenchOptions, memoryDirectory: string): Promise<void> {
  const { directory, sizes } = options;
  const size = Math.max(...sizes);
  const copies = copiesFor(options);
  const [onDisk, inMemory] = [copies.onDisk * size + FILE_RESERVE, copies.inMemory * size + FILE_RESERVE];
  const [isOne, isInMemory] = [await onOneDevice(directory, memoryDirectory), await liesInMemory(directory)];
  const needed = isOne ? onDisk + inMemory : onDisk;
  assertEnough(directory, needed, await freeBytesIn(directory), 'the directory');
  assertEnough(memoryDirectory, inMemory, await freeBytesIn(memoryDirectory), 'the directory in memory');
  const taken = inMemory + (isInMemory ? onDisk : 0) + MEMORY_RESERVE;
  assertEnough(memoryDirectory, taken, await availableMemory(), 'the memory of this machine');
}

async function onOneDevice(left: string, right: string): Promise<boolean> {
  const [{ dev }, { dev: other }] = await Promise.all([stat(left), stat(right)]);
  return dev === other;
}

async function liesInMemory(directory: string): Promise<boolean> {
  const type = (await filesystemOf(directory))?.type;
  return type === 'tmpfs' || type === 'ramfs';
}

function assertEnough(path: string, needed: number, found: number, what: string): void {
  if (found >= needed) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_IO',
    `there is no room for the bench in ${what}; take a smaller size`,
    {
      path,
      expected: `${inUnits(needed, Math.ceil)} free`,
      found: inUnits(found, Math.floor),
    },
  );
}

function inUnits(bytes: number, round: (tenths: number) => number): string {
  return bytes < 10 * GIB ? `${round(bytes / MIB)} MiB` : `${round((bytes / GIB) * 10) / 10} GiB`;
}

/** Bytes that can be taken without swapping. A control group may allow less than the machine has. */
async function availableMemory(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'latin1').catch(() => '');
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY) * 1024;
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, available) : available;
}
