import { fstatSync } from 'node:fs';

import { changedPages } from '../../engine/process/changed-pages.ts';
import { findStalePages } from '../../engine/stale-pages.ts';
import { MappedRamError, messageOf } from '../../errors.ts';
import { identityOf, isSameFile } from '../../host/file-identity.ts';
import { type FileBeneath, openBeneath } from '../../host/memory-beneath.ts';
import { localFile } from '../../io/open-source.ts';
import { withoutRuns } from '../../pages/byte-runs.ts';
import type { ProcessMemory, ProcessMemoryBlock } from '../../qemu/memory/process-memory.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import { assertComposable } from '../../stream/write/compose-state.ts';
import { differenceInBlocks, type FoundBase } from './found-base.ts';

/**
 * Looks for the snapshot that a guest is a clone of: the very file that QEMU has mapped, whatever anybody says it is.
 * @param wanted a path that has to be that file; `auto` takes whichever it is
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO for a file that cannot be read
 */
export async function findMappedBase(memory: ProcessMemory, wanted: string): Promise<FoundBase> {
  let first: FoundBase | undefined;
  for (const file of privateFiles(memory)) {
    const found = await baseIn(memory, file, wanted);
    if ('path' in found) return found;
    first ??= found;
  }
  return first ?? NO_CLONE;
}

/** The kernel's name of the file in memory that the clones of a fork share. */
const FORK_MEMORY = '/memfd:mapped-ram-fork';

const NO_CLONE: FoundBase = {
  rule: 'incremental-needs-clone',
  words:
    'no block of this guest is a private mapping of a snapshot, nor on its way from one: it was not started by an instant restore',
};

async function baseIn(memory: ProcessMemory, file: FileBeneath, wanted: string): Promise<FoundBase> {
  const path = wanted === 'auto' ? file.name : wanted;
  const [there, isIt] = [identityOf(path), await isMappedFile(memory.pid, file, path)];
  if (there === undefined || isIt !== true) {
    const words = file.name.startsWith(FORK_MEMORY)
      ? "the guest's memory is that of a fork, in no file: save it whole first"
      : wanted === 'auto'
        ? `the name of the file that QEMU maps (${file.name}) does not lead to that file any more`
        : `QEMU has mapped ${file.name}, and ${path} is ${there === undefined ? 'not there' : 'another file'}`;
    return { rule: 'base-not-mapped', words };
  }
  try {
    await using snapshot = await Snapshot.open({ path });
    return await fit(snapshot, memory, file, path);
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.code === 'ERR_MAPPED_RAM_IO') throw error;
    const rule = error.code === 'ERR_MAPPED_RAM_BAD_MAGIC' ? 'incremental-needs-clone' : 'base-unfit';
    // The places of the blocks do not tell where the stream of theirs begins.
    const where =
      error.code === 'ERR_MAPPED_RAM_BAD_MAGIC'
        ? '; a base begins where its file does, and a snapshot at an offset in a file is none'
        : '';
    return { rule, words: `the file that QEMU maps (${path}) is no base: ${messageOf(error)}${where}` };
  }
}

/**
 * Looks whether an open snapshot still is the base of a guest: between the plan of a save and its beginning another file
 * may have got the name, and the guest other blocks.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function lookAtBase(snapshot: Snapshot, memory: ProcessMemory): Promise<FoundBase> {
  const { fd } = localFile(snapshot.reader, 'a base');
  for (const file of privateFiles(memory)) {
    if ((await isMappedFile(memory.pid, file, fd)) === true)
      return fit(snapshot, memory, file, snapshot.path);
  }
  return { rule: 'base-not-mapped', words: `QEMU has not mapped the file that ${snapshot.path} is now` };
}

/** The files of which blocks are private mappings, the one of the largest block first. */
function privateFiles({ blocks }: ProcessMemory): readonly FileBeneath[] {
  const found: FileBeneath[] = [];
  for (const block of blocks.toSorted((one, other) => other.length - one.length)) {
    const file = fileOf(block);
    if (file !== undefined && !found.some((other) => isSameBeneath(file, other))) found.push(file);
  }
  return found;
}

function isSameBeneath(file: FileBeneath, other: FileBeneath): boolean {
  return file.ino === other.ino && file.device === other.device;
}

/** Tells whether a name or a descriptor leads to the file that a process has mapped. */
async function isMappedFile(
  pid: number,
  file: FileBeneath,
  path: string | number,
): Promise<boolean | undefined> {
  const named = identityOf(path);
  if (named === undefined) return undefined;
  const opened = await openBeneath(pid, file);
  if (opened === undefined) return undefined;
  try {
    const { dev, ino } = fstatSync(opened.fd, { bigint: true });
    return isSameFile({ dev, ino }, named);
  } finally {
    await opened.close();
  }
}

async function fit(
  snapshot: Snapshot,
  memory: ProcessMemory,
  file: FileBeneath,
  path: string,
): Promise<FoundBase> {
  const { blocks } = memory;
  const unfit = (words: string): FoundBase => ({ rule: 'base-unfit', words: `${path} ${words}` });
  if (snapshot.base !== undefined) return unfit('is a delta, which nobody maps');
  const ram = snapshot.completeRam();
  assertComposable(snapshot.index);
  const mapped = blocks.filter((block) => isOf(block, file));
  const difference = differenceInBlocks(snapshot, blocks);
  if (difference !== undefined) return unfit(difference);
  for (const block of mapped) {
    const there = ram.blocks.find(({ id }) => id === block.id);
    const isElsewhere = fileOf(block)?.offset !== there?.area.pagesOffset;
    if (isElsewhere) return unfit(`does not have block ${block.id} where QEMU maps it`);
  }
  const other = await changedUnder(snapshot, memory.pid, mapped);
  if (other !== undefined) {
    return unfit(`has changed: the guest sees data in block ${other} where the snapshot has no page`);
  }
  return { path, mapped: mapped.map(({ id }) => id), coming: [] };
}

/**
 * Looks for pages that a guest sees out of the file, and that a restore would not show: their bits are clear. A snapshot
 * may have such pages, which a restore replaces in the guest's memory; the others were changed since.
 * @returns the block
 */
async function changedUnder(
  snapshot: Snapshot,
  pid: number,
  mapped: readonly ProcessMemoryBlock[],
): Promise<string | undefined> {
  const { fd } = localFile(snapshot.reader, 'a base');
  const places = snapshot.completeRam().blocks;
  for (const { id, address, length } of mapped) {
    const place = places.find((candidate) => candidate.id === id);
    if (place === undefined) continue;
    const { pageSize } = place.area;
    const { runs: stale } = await findStalePages(fd, snapshot.path, place);
    if (stale.length === 0) continue;
    const [own = new Float64Array()] = await changedPages(pid, [{ address, length }], 'changed');
    const seen = withoutRuns(
      Float64Array.from(stale, (pages) => pages * pageSize),
      own,
    );
    if (seen.length > 0) return id;
  }
  return undefined;
}

function isOf(block: ProcessMemoryBlock, file: FileBeneath): boolean {
  const own = fileOf(block);
  return own !== undefined && isSameBeneath(own, file);
}

function fileOf({ beneath }: ProcessMemoryBlock): FileBeneath | undefined {
  return beneath.kind === 'private' ? beneath.file : undefined;
}
