import { MODES, type RestoreMode } from '../../ts/restore/modes/modes.ts';

/** The modes that bring every guest back: not those that have a run state which only a stream of the old kind brings. */
export const MODES_FOR_ALL_STATES: readonly RestoreMode[] = MODES.filter(
  (mode) => mode.stateProblem({ runState: 'shutdown', asleep: false }) === undefined,
).map(({ name }) => name);
