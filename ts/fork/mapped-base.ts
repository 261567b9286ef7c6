import { readlink } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { identityOf, isSameFile } from '../host/file-identity.ts';
import { pathInProcess } from '../host/path-in-process.ts';
import type { MemoryBlock } from '../qemu/memory-block.ts';
import { lookAtFile } from '../restore/preflight/mapped-file.ts';
import { mappedBlocks } from '../restore/preflight/mapping.ts';
import { Snapshot } from '../snapshot/snapshot.ts';

/**
 * Opens the snapshot that a QEMU has all of its guest's memory mapped out of, as every clone has. The file is the very
 * one that QEMU maps, whatever has its name meanwhile.
 *
 * @param pid QEMU's process, when it is known
 * @returns undefined when the guest is no clone, or nobody may see whether it is one
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when the snapshot is being written; the signal's reason
 */
export async function openMappedBase(
  memory: readonly MemoryBlock[],
  pid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Snapshot | undefined> {
  const [first, ...others] = memory.filter(({ backend }) => backend !== undefined);
  const place = first?.backend?.share === false ? first.backend.path : undefined;
  const seen = place === undefined || pid === undefined ? undefined : pathInProcess(pid, place);
  if (first === undefined || seen === undefined) return undefined;
  const snapshot = await openIfSnapshot(await nameOf(seen), signal);
  if (snapshot === undefined) return undefined;
  try {
    const mapped = mappedBlocks(snapshot, memory, await lookAtFile(snapshot, pid));
    if ([first, ...others].every((block) => isWhole(snapshot, block) && mapped.includes(block.id))) {
      return snapshot;
    }
  } catch (error) {
    await snapshot.close();
    throw error;
  }
  await snapshot.close();
  return undefined;
}

function isWhole(snapshot: Snapshot, { id, length }: MemoryBlock): boolean {
  const block = snapshot.completeRam().blocks.find((candidate) => candidate.id === id);
  return block?.length === length;
}

/** The name of a file that only a descriptor of another process leads to, where the file still has it. */
async function nameOf(path: string): Promise<string> {
  const [name, found] = [await readlink(path).catch(() => undefined), identityOf(path)];
  const named = name === undefined ? undefined : identityOf(name);
  const isNamed = found !== undefined && named !== undefined && isSameFile(named, found);
  return name !== undefined && isNamed ? name : path;
}

/** Opens what QEMU maps. Memory may be in files that are no snapshots, or none that could be a base. */
async function openIfSnapshot(path: string, signal: AbortSignal | undefined): Promise<Snapshot | undefined> {
  let snapshot: Snapshot | undefined;
  try {
    snapshot = await Snapshot.open({ path }, signal);
    snapshot.completeRam();
    return snapshot;
  } catch (error) {
    await snapshot?.close();
    if (!(error instanceof MappedRamError)) throw error;
    return undefined;
  }
}
