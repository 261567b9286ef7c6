import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { createStateFile } from '../engine/state-file.ts';
import { fileSize, readAt } from '../io/fd-io.ts';
import type { QmpClient } from '../qmp/client.ts';
import { readGlobalStateAtEnd } from '../stream/global-state.ts';
import { FdSet } from './fd-set.ts';

const NAME = 'the device state';

/**
 * Tells whether a guest that is stopped is asleep (suspended to RAM) beneath. `query-status` says only `paused`, so QEMU
 * has to write its device state, which takes milliseconds and changes nothing (docs/format.md §4.3).
 * @returns undefined when that cannot be known: QEMU cannot be handed a file, or refuses
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT; the signal's reason; ERR_MAPPED_RAM_QEMU when QEMU is gone
 */
export async function isStoppedGuestAsleep(qmp: QmpClient, wait: WaitOptions): Promise<boolean | undefined> {
  if (!qmp.passesDescriptors) return undefined;
  try {
    await using file = await createStateFile([]);
    await using set = await FdSet.open(qmp, { path: file.procPath, access: 'write', direct: false, ...wait });
    await qmp.execute('xen-save-devices-state', { filename: set.filename, live: false }, wait);
    const size = await fileSize(file.fd, NAME);
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, await readAt(file.fd, NAME, bytes, offset));
    };
    return (await readGlobalStateAtEnd({ name: NAME, size, read }, size))?.asleep;
  } catch (error) {
    wait.signal?.throwIfAborted();
    const isAnswer = error instanceof MappedRamError && error.code !== 'ERR_MAPPED_RAM_TIMEOUT';
    if (isAnswer && qmp.isOpen) return undefined;
    throw error;
  }
}
