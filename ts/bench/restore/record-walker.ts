import { messageOf } from '../../errors.ts';
import { ONLY_TOUCHED } from '../../restore/modes/modes.ts';
import { restore } from '../../restore/restore.ts';
import { recordWorkingSet } from '../../working-set/record-working-set.ts';
import type { SavedWalker } from './saved-guest.ts';
import { untilWalkedTo } from './working-set.ts';

/**
 * Records the working set of a saved guest: page by page, by a restore that brings nothing else.
 * @param path of the record
 * @returns the reason in words why there is none; undefined when there is one
 * @throws {Error} the signal's reason
 */
export async function recordWalker(
  { snapshot, args, goal }: SavedWalker,
  binary: string,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await using guest = await restore(snapshot, { ...ONLY_TOUCHED, after: 'cont', binary, args, signal });
    await untilWalkedTo(guest.qemu.qmp, goal, signal);
    await recordWorkingSet(guest.qemu.qmp, snapshot, { path, signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return `no working set could be recorded: ${messageOf(error)}`;
  }
}
