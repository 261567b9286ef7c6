import { MODES, type RestoreMode } from '../../ts/restore/modes/modes.ts';

/** The modes that bring every guest back: not those that have a run state which only a stream of the old kind brings. */
export const MODES_FOR_ALL_STATES: readonly RestoreMode[] = MODES.filter(
  (mode) => mode.stateProblem({ runState: 'shutdown', asleep: false }) === undefined,
).map(({ name }) => name);

/**
 * The modes that ask nothing of the guest's memory, its devices, its page size and QEMU's surroundings: not those in which
 * QEMU asks for pages at a socket.
 */
export const MODES_OF_ANY_MEMORY: readonly RestoreMode[] = ['instant', 'preload', 'eager'];
