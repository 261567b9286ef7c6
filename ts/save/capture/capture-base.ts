import { lockFile } from '../../engine/file-lock.ts';
import { MappedRamError } from '../../errors.ts';
import { identityOf, isSameFile } from '../../host/file-identity.ts';
import { openBeneath } from '../../host/memory-beneath.ts';
import { localFile } from '../../io/open-source.ts';
import type { Output } from '../../io/output.ts';
import { lookAtComingBase } from '../../negotiate/capture/coming-base.ts';
import { type FoundBase, isComingBase } from '../../negotiate/capture/found-base.ts';
import { lookAtBase } from '../../negotiate/capture/mapped-base.ts';
import { comingMemoryOf } from '../../qemu/memory/coming-memory.ts';
import type { ProcessMemory } from '../../qemu/memory/process-memory.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { assertDistinct, namedSource } from '../../snapshot/distinct-places.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';

/**
 * Opens the base, and keeps writers away from it until it is closed.
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY while it is being written; as `Snapshot.open`
 */
export async function openBase(path: string, signal: AbortSignal | undefined): Promise<Snapshot> {
  const base = await Snapshot.open({ path }, signal);
  try {
    lockFile(localFile(base.reader, 'a save').fd, 'shared', base.path);
    return base;
  } catch (error) {
    await base.close();
    throw error;
  }
}

/**
 * Makes sure that the guest stands on what was opened: since the plan another file may have got the name, or the guest
 * other blocks.
 * @param plan what was found then
 * @returns the blocks that QEMU has mapped out of it, and those that are still on their way from it
 * @throws {MappedRamError} ERR_MAPPED_RAM_BASE
 */
export async function assertStillBase(
  qmp: QmpClient,
  base: Snapshot,
  memory: ProcessMemory,
  plan: FoundBase | undefined,
): Promise<Pick<Extract<FoundBase, { readonly path: string }>, 'mapped' | 'coming'>> {
  const found = isComingBase(plan)
    ? lookAtComingBase(comingMemoryOf(qmp), base, memory)
    : await lookAtBase(base, memory);
  if ('mapped' in found) return found;
  const words = `the base is the guest's no more: ${found.words}`;
  throw new MappedRamError('ERR_MAPPED_RAM_BASE', words, { path: base.path });
}

/**
 * Refuses a delta in the place of its base, with which it would be lost.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export async function assertApart(path: string | undefined, base: Snapshot | undefined): Promise<void> {
  if (path === undefined || base === undefined) return;
  await assertDistinct([{ role: 'the delta', path }, ...namedSource('its base', base.reader)]);
}

/**
 * Refuses to write into a file that lies beneath the guest's memory: the guest would lose it.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export async function assertNotMemory(output: Output, { pid, blocks }: ProcessMemory): Promise<void> {
  const into = identityOf(localFile(output, 'a save').fd);
  for (const { id, beneath } of blocks) {
    if (into === undefined || beneath.kind === 'anonymous' || beneath.file.ino !== into.ino) continue;
    const opened = await openBeneath(pid, beneath.file);
    const found = opened && identityOf(opened.fd);
    await opened?.close();
    if (found === undefined || !isSameFile(found, into)) continue;
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `the snapshot would be written into the memory of block ${id}, which the guest uses`,
      { path: output.name, expected: 'another file' },
    );
  }
}
