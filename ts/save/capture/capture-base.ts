import { lockFile } from '../../engine/file-lock.ts';
import { MappedRamError } from '../../errors.ts';
import { localFile } from '../../io/open-source.ts';
import { whyNoBase } from '../../negotiate/capture/mapped-base.ts';
import type { ProcessMemory } from '../../qemu/process-memory.ts';
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
 * @throws {MappedRamError} ERR_MAPPED_RAM_BASE
 */
export async function assertStillBase(base: Snapshot, memory: ProcessMemory): Promise<void> {
  const why = await whyNoBase(base, memory);
  if (why === undefined) return;
  const words = `the base is the guest's no more: ${why}`;
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
