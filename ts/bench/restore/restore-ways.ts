import { applyPlan } from '../../negotiate/apply-plan.ts';
import { migrateIn } from '../../qemu/migration.ts';
import { QemuProcess } from '../../qemu/process/qemu-process.ts';
import { MODES } from '../../restore/modes/modes.ts';
import { restore, type RestoreOptions } from '../../restore/restore.ts';
import { MAPS_SNAPSHOT, STARTED } from '../baseline/moments.ts';
import type { Contender } from '../contender.ts';
import { qemuIdentity, type UsableQemu } from '../others/bench-qemu.ts';

/** Channels of QEMU's own loading. */
export const CHANNELS = 4;

interface Start {
  readonly path: string;
  readonly binary: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
}

/** A guest that runs. */
interface Started {
  readonly qemu: QemuProcess;
  /** Milliseconds to moments on the way. */
  readonly moments: Readonly<Record<string, number>>;
  /** True when a process that nobody meters has a part in the work. */
  readonly hasHelper: boolean;
}

/** A way of restoring a guest. */
export interface Way extends Pick<Contender, 'name' | 'settings'> {
  /** Restores the guest, and resolves when it runs. */
  readonly start: (start: Start) => Promise<Started>;
  readonly isOurs: boolean;
}

/**
 * Lists this package's ways: its modes, and those that have a use for a working set once more with one.
 * @param record of the snapshot's working set; undefined when there is none
 */
export function ourWays(record: string | undefined): readonly Way[] {
  const ways = MODES.map(({ name: mode, keepsSnapshot, options }) => {
    const settings = { mode, [MAPS_SNAPSHOT]: keepsSnapshot };
    const way = (name: string, workingSet: RestoreOptions['workingSet']): Way => ({
      name,
      start: byMode({ mode, workingSet }),
      isOurs: true,
      settings,
    });
    const isWithout = record === undefined || !options.includes('workingSet');
    return isWithout ? [way(mode, 'off')] : [way(mode, 'off'), way(`${mode}, working set`, { path: record })];
  });
  return ways.flat();
}

function byMode(how: Pick<RestoreOptions, 'mode' | 'workingSet'>): Way['start'] {
  return async ({ path, binary, args, signal }) => {
    const { qemu, memory } = await restore(path, { ...how, binary, args, signal, after: 'cont' });
    return { qemu, moments: {}, hasHelper: memory !== undefined };
  };
}

/** QEMU's own loading. */
export function ownLoading(found: UsableQemu): Way {
  const { name, settings } = qemuIdentity(found, CHANNELS);
  const isDirect = found.whyNotDirect === undefined;
  return { name, settings, start: (start) => byQemu(start, isDirect), isOurs: false };
}

/** QEMU gets its settings without a look at the snapshot, which would count as QEMU's time. */
async function byQemu({ path, binary, args, signal }: Start, isDirect: boolean): Promise<Started> {
  const startedAt = performance.now();
  const qemu = await QemuProcess.start({ binary, args: [...args, '-incoming', 'defer'], signal });
  const moments = { [STARTED]: performance.now() - startedAt };
  try {
    await applyPlan(
      qemu.qmp,
      {
        direction: 'restore',
        capabilities: { 'mapped-ram': true, multifd: true, events: true },
        parameters: {
          'multifd-channels': CHANNELS,
          // A QEMU that has no direct I/O does not know the name either.
          ...(isDirect && { 'direct-io': true }),
          'max-bandwidth': 0,
        },
      },
      { signal },
    );
    await migrateIn(qemu.qmp, { transport: 'file', filename: path, offset: 0 }, { signal });
    await qemu.qmp.execute('cont', undefined, { signal });
    return { qemu, moments, hasHelper: false };
  } catch (error) {
    await qemu.close();
    throw error;
  }
}
