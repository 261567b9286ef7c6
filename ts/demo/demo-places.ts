import { stat } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { resolve } from 'node:path';

import { assertDirectory, filesystemOf, freeBytesIn, type Filesystem } from '../host/filesystem.ts';
import { MappedRamError } from '../errors.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
export const SMALLEST_DEMO: number = 64 * MIB;
export const DEFAULT_DEMO: number = GIB;

const SHARED_MEMORY = '/dev/shm';
const VAR_TMP = '/var/tmp';
/** The number of copies: the guest's memory, and the memory that it is restored to. */
const COPIES = 2;
/** Bytes for headers and device state, and for not filling a filesystem to its last byte. */
const FILE_RESERVE = 32 * MIB;
/** Bytes of memory for QEMU itself, and everybody else. */
const MEMORY_RESERVE = 256 * MIB;

/** The places where a demo can run, and its size. */
export interface DemoPlaces {
  readonly size: number;
  /** The reason why the size is not the one that was asked for. */
  readonly sizeWhy: string | undefined;
  readonly memoryDirectory: string;
  readonly snapshotDirectory: string;
}

/**
 * Looks for room: memory files in /dev/shm, else beside the snapshot. Halves the size until everything fits.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when there is no such directory, or not even room for 64 MiB
 */
export async function choosePlaces(size: number, directory: string | undefined): Promise<DemoPlaces> {
  const snapshotDirectory = resolve(directory ?? (await temporaryDirectory()));
  await assertDirectory(snapshotDirectory);
  let reason: string | undefined;
  for (let fitting = size; ; fitting = Math.max(halve(fitting), SMALLEST_DEMO)) {
    const shortages: string[] = [];
    for (const memoryDirectory of [SHARED_MEMORY, snapshotDirectory]) {
      const shortage = await shortageOf(fitting, memoryDirectory, snapshotDirectory);
      if (shortage === undefined)
        return { size: fitting, sizeWhy: reason, memoryDirectory, snapshotDirectory };
      shortages.push(shortage);
    }
    const why = [...new Set(shortages)].join('; ');
    if (fitting <= SMALLEST_DEMO) {
      throw new MappedRamError('ERR_MAPPED_RAM_IO', `no room for even the smallest demo: ${why}`);
    }
    reason ??= why;
  }
}

function halve(size: number): number {
  return Math.floor(size / 2 / MIB) * MIB;
}

/** Says in words what is missing; returns undefined when there is enough of everything. */
async function shortageOf(size: number, memory: string, snapshot: string): Promise<string | undefined> {
  const [memorySystem, snapshotSystem] = [await filesystemOf(memory), await filesystemOf(snapshot)];
  if (memorySystem === undefined) return `there is no ${memory}`;
  const [inMemory, onDisk] = [COPIES * size + FILE_RESERVE, size + FILE_RESERVE];
  const shared = await onOneDevice(memory, snapshot);
  const needed = shared ? inMemory + onDisk : inMemory;
  for (const [path, bytes] of [
    [memory, needed],
    [snapshot, onDisk],
  ] as const) {
    const free = await freeBytesIn(path);
    if (free < bytes) return `${path} has ${mebibytes(free)} free of ${mebibytes(bytes)} needed`;
  }
  const taken = (isInMemory(memorySystem) ? inMemory : 0) + (isInMemory(snapshotSystem) ? onDisk : 0);
  const [available, wanted] = [availableMemory(), taken + MEMORY_RESERVE];
  if (available >= wanted) return undefined;
  return `${mebibytes(available)} of memory are available, ${mebibytes(wanted)} are needed`;
}

async function onOneDevice(left: string, right: string): Promise<boolean> {
  const [{ dev }, { dev: other }] = await Promise.all([stat(left), stat(right)]);
  return dev === other;
}

/** A control group may allow less memory than the machine has. */
function availableMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, freemem()) : freemem();
}

function mebibytes(size: number): string {
  return `${Math.floor(size / MIB)} MiB`;
}

/** Picks a directory on a disk, where there is one: a snapshot in memory proves nothing, and takes memory. */
async function temporaryDirectory(): Promise<string> {
  const usual = tmpdir();
  const [system, other] = [await filesystemOf(usual), await filesystemOf(VAR_TMP)];
  return isInMemory(system) && other !== undefined && !isInMemory(other) ? VAR_TMP : usual;
}

function isInMemory(system: Filesystem | undefined): boolean {
  return system?.type === 'tmpfs' || system?.type === 'ramfs';
}
