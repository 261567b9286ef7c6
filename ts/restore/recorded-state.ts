import { MappedRamError } from '../errors.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import {
  DEADLY_STATES,
  type GlobalState,
  readGlobalState,
  STATES_NOT_TAKEN,
} from '../stream/global-state.ts';
import type { Mode } from './modes/mode.ts';
import type { AfterRestore } from './run-state.ts';

/** Recorded run states that QEMU leaves only by a reset. */
const NEEDS_RESET: ReadonlySet<string> = new Set(['shutdown', 'internal-error']);

/**
 * Makes sure that QEMU can bring the guest into the state that is wanted, out of the one that the snapshot records. A
 * state that the snapshot does not tell is no obstacle.
 * @returns the state that the snapshot records
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, and as reading the snapshot
 */
export async function assertComesUp(
  snapshot: Snapshot,
  after: AfterRestore,
): Promise<GlobalState | undefined> {
  const recorded = await readGlobalState(snapshot.reader, snapshot.index);
  const { runState = '' } = recorded ?? {};
  const was = `when it was saved, the guest was in the state ${runState}`;
  const convert = 'convert writes a snapshot in which it is paused';
  const problem = DEADLY_STATES.has(runState)
    ? `${was}, in which QEMU takes no guest over: it would end with "invalid runstate transition"; ${convert}`
    : STATES_NOT_TAKEN.has(runState)
      ? `${was}, in which QEMU would never let it run; ${convert}`
      : after === 'cont' && NEEDS_RESET.has(runState)
        ? `${was}, out of which QEMU lets no guest run before a system_reset: restore it with after: as-saved or stop`
        : undefined;
  if (problem === undefined) return recorded;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', problem, { path: snapshot.path });
}

/**
 * Makes sure that a mode can bring the guest back into the state that the snapshot records.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertModeBrings(
  mode: Pick<Mode, 'name' | 'stateProblem'>,
  recorded: GlobalState | undefined,
  { path }: Snapshot,
): void {
  const words = recorded && mode.stateProblem(recorded);
  if (words === undefined) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `mode ${mode.name}: ${words}`, { path });
}

/**
 * Turns `as-saved` into `cont` for a guest that ran. The container knows better than the stream: libvirt stops every
 * guest before it saves it, and notes in its header that the guest ran (docs/format.md §12). A guest that came to an
 * end of its own meanwhile is recorded as such.
 */
export function meantBy(
  after: AfterRestore,
  { libvirt }: Snapshot,
  recorded: GlobalState | undefined,
): AfterRestore {
  const { runState = 'paused' } = recorded ?? {};
  const ran = runState === 'running' || (runState === 'paused' && libvirt?.wasRunning === true);
  return after === 'as-saved' && ran ? 'cont' : after;
}
