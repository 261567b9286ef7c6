import { MappedRamError, messageOf } from '../../errors.ts';
import { identityOf, isSameFile } from '../../host/file-identity.ts';
import { localFile } from '../../io/open-source.ts';
import type { ComingMemory } from '../../qemu/memory/coming-memory.ts';
import type { ProcessMemory } from '../../qemu/memory/process-memory.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import { assertComposable } from '../../stream/write/compose-state.ts';
import { differenceInBlocks, type FoundBase } from './found-base.ts';

/**
 * Looks whether the snapshot that a guest still gets its pages from can be the base of a save: a page that the guest's
 * process lacks is the snapshot's.
 * @param wanted a path that has to be that file; `auto` takes whichever it is
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO for a file that cannot be read
 */
export async function findComingBase(
  coming: ComingMemory,
  memory: ProcessMemory,
  wanted: string,
): Promise<FoundBase> {
  const path = wanted === 'auto' ? coming.path : wanted;
  const named = identityOf(path);
  if (named === undefined || !isSameFile(named, coming.file)) {
    const words = `the guest's memory comes from ${coming.path}, and ${path} is ${named === undefined ? 'not there' : 'another file'}`;
    return { rule: 'base-not-mapped', words };
  }
  if (coming.offset > 0) {
    const words = `the guest's memory comes from a snapshot at offset ${coming.offset} of ${path}, and a base begins where its file does`;
    return { rule: 'base-unfit', words };
  }
  try {
    await using snapshot = await Snapshot.open({ path });
    return fit(snapshot, memory);
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.code === 'ERR_MAPPED_RAM_IO') throw error;
    return {
      rule: 'base-unfit',
      words: `the file that the memory comes from (${path}) is no base: ${messageOf(error)}`,
    };
  }
}

/** Looks whether an open snapshot still is the one that the memory comes from. @throws {MappedRamError} as `findComingBase` */
export function lookAtComingBase(
  coming: ComingMemory | undefined,
  snapshot: Snapshot,
  memory: ProcessMemory,
): FoundBase {
  const found = identityOf(localFile(snapshot.reader, 'a base').fd);
  if (coming?.offset === 0 && found !== undefined && isSameFile(found, coming.file))
    return fit(snapshot, memory);
  return {
    rule: 'base-not-mapped',
    words: `the guest's memory does not come from ${snapshot.path} any more`,
  };
}

function fit(snapshot: Snapshot, { blocks }: ProcessMemory): FoundBase {
  const { path } = snapshot;
  if (snapshot.base !== undefined) {
    return { rule: 'base-unfit', words: `${path} is a delta: wait until the memory is complete` };
  }
  assertComposable(snapshot.index);
  const difference = differenceInBlocks(snapshot, blocks);
  if (difference !== undefined) return { rule: 'base-unfit', words: `${path} ${difference}` };
  return { path, mapped: [], coming: blocks.map(({ id }) => id) };
}
