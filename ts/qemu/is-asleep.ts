import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { createStateFile } from '../engine/state-file.ts';
import { fileSize, readAt } from '../io/fd-io.ts';
import { QmpClient } from '../qmp/client.ts';
import { readGlobalStateAtEnd } from '../stream/global-state.ts';
import { FdSet, newFdSetTag, removeFdSet } from './fd-set.ts';

const NAME = 'the device state';
/** Limit in milliseconds for a QEMU that has lost a connection to accept the next. */
const RECONNECT_MS = 5000;

export interface SleepQuestion extends WaitOptions {
  /**
   * The tag of the descriptor that QEMU is given, when the caller takes the descriptor back after a lost connection.
   * @default one of its own, which goes over another connection, where the address is known
   */
  readonly tag?: string | undefined;
}

/**
 * Tells whether a guest that is stopped is asleep (suspended to RAM) beneath. `query-status` says only `paused`, so QEMU
 * has to write its device state, which takes milliseconds and changes nothing (docs/format.md §4.3).
 * @returns undefined when that cannot be known: QEMU cannot be handed a file, or refuses
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT; the signal's reason; ERR_MAPPED_RAM_QEMU when QEMU is gone
 */
export async function isStoppedGuestAsleep(
  qmp: QmpClient,
  { tag: given, ...wait }: SleepQuestion,
): Promise<boolean | undefined> {
  if (!qmp.passesDescriptors) return undefined;
  const tag = given ?? newFdSetTag();
  try {
    await using file = await createStateFile([]);
    const access = { path: file.procPath, access: 'write', direct: false, tag } as const;
    await using set = await FdSet.open(qmp, { ...access, ...wait });
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
  } finally {
    // The set was not taken away if the connection was lost meanwhile.
    if (!qmp.isOpen && given === undefined) await removeOverAnother(qmp, tag);
  }
}

/** Takes a set away from a QEMU to which the connection was lost. */
async function removeOverAnother({ server, pid }: QmpClient, tag: string): Promise<void> {
  if (server === undefined) return;
  try {
    await using again = await QmpClient.connect(server, { timeoutMs: RECONNECT_MS, pid });
    await removeFdSet(again, tag);
  } catch {
    // QEMU is gone, and its descriptors with it; or QEMU does not answer, and nothing can be done.
  }
}
