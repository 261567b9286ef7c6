import { MappedRamError } from '../../errors.ts';
import type { AfterSave } from '../../negotiate/request.ts';
import { isStoppedGuestAsleep, type SleepQuestion } from '../../qemu/is-asleep.ts';
import type { QmpClient } from '../../qmp/client.ts';

/** Run states in which the vCPUs run, or wait for something to wake them. QEMU stops both with `stop`. */
const LIVE: ReadonlySet<string> = new Set(['running', 'suspended']);
/** Run states that QEMU leaves only by a reset. After a save QEMU has forgotten them, and would let the guest run. */
const NEEDS_RESET: ReadonlySet<string> = new Set(['shutdown', 'internal-error']);
/** Run states of work that QEMU has under way. */
const AT_WORK: ReadonlySet<string> = new Set(['finish-migrate', 'save-vm', 'restore-vm']);

/** True for a guest that has to be stopped for its save. */
export function isLive(runState: string): boolean {
  return LIVE.has(runState);
}

/**
 * Refuses a save after which the guest could not be what it is to be, as far as its run state tells.
 * @param runState QEMU's answer to query-status
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a guest that is asleep and is not to end, or one that QEMU
 *   lets run only after a reset; ERR_MAPPED_RAM_BUSY while QEMU saves or loads
 */
export function assertRunState(runState: string, after: AfterSave | undefined): void {
  if (AT_WORK.has(runState)) {
    throw new MappedRamError('ERR_MAPPED_RAM_BUSY', `QEMU is at work on the guest (${runState})`);
  }
  if (after === 'cont' && NEEDS_RESET.has(runState)) {
    const words = `the guest cannot go on afterwards: its state is ${runState}, out of which QEMU lets no guest run before a system_reset; save it with after: stop or quit`;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words);
  }
  if (runState === 'suspended' && after !== 'quit') throw asleep(runState);
}

/**
 * Refuses to save a guest that was stopped while it was asleep, and is not to end. Its run state does not tell, so QEMU
 * is given a file.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED; as `isStoppedGuestAsleep`
 */
export async function assertNotStoppedAsleep(
  qmp: QmpClient,
  runState: string,
  after: AfterSave | undefined,
  question: SleepQuestion,
): Promise<void> {
  if (runState !== 'paused' || after === 'quit') return;
  if ((await isStoppedGuestAsleep(qmp, question)) === true) throw asleep(runState);
}

/** The refusal for a guest that is asleep. */
export function asleep(runState: string): MappedRamError {
  const how = runState === 'suspended' ? 'is asleep (suspended to RAM)' : 'was stopped while it was asleep';
  return new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `the guest ${how}, and QEMU can neither wake it nor let it go on after a save: it would end with "invalid runstate transition"; wake the guest first (${runState === 'suspended' ? '' : 'cont, then '}system_wakeup), or save it with after: quit`,
  );
}

/** The warning about a run state that QEMU has replaced by postmigrate; undefined where that makes no difference. */
export function forgotten(before: string, now: string | undefined): string | undefined {
  const plain = ['running', 'paused', 'prelaunch'].includes(before);
  if (plain || now !== 'postmigrate') return undefined;
  const care = NEEDS_RESET.has(before) ? '; reset the guest before it runs again' : '';
  return `the guest's state was ${before}, which the snapshot records; QEMU itself says postmigrate from now on${care}`;
}
