import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import { readGlobalStateAtEnd } from '../stream/global-state.ts';
import { withDeviceState } from './state/device-state.ts';

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
 * @returns undefined when that cannot be known: QEMU cannot be handed a file, refuses, or might crash over a device
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT; the signal's reason; ERR_MAPPED_RAM_QEMU when QEMU is gone
 */
export async function isStoppedGuestAsleep(
  qmp: QmpClient,
  question: SleepQuestion,
): Promise<boolean | undefined> {
  if (!qmp.passesDescriptors) return undefined;
  try {
    return await withDeviceState(
      qmp,
      question,
      async (reader) => (await readGlobalStateAtEnd(reader, reader.size))?.asleep,
    );
  } catch (error) {
    question.signal?.throwIfAborted();
    const isAnswer = error instanceof MappedRamError && error.code !== 'ERR_MAPPED_RAM_TIMEOUT';
    if (isAnswer && qmp.isOpen) return undefined;
    throw error;
  }
}
