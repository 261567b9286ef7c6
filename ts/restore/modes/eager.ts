import type { RestorePlan } from '../../negotiate/plan.ts';
import { CAPABILITY_BASE, CAPABILITY_MAPPED_RAM } from '../../stream/constants.ts';
import { assertStreamOptions } from '../assert-options.ts';
import type { Loaded, LoadRun } from '../load.ts';
import { type NamelessMode, NOTHING_PREPARED } from './mode.ts';
import { reserveFor } from '../command-line/reserve.ts';

/** Capabilities that the file need not share with QEMU. */
const FORMS: ReadonlySet<string> = new Set([CAPABILITY_MAPPED_RAM, CAPABILITY_BASE]);

/** QEMU reads the memory itself: only the names of the blocks have to fit. */
export const eager: NamelessMode = {
  summary: 'lets QEMU read it',
  outcome: 'read by QEMU',

  options: ['multifd', 'channels', 'directIo'],
  whyNoOthers: 'QEMU reads the memory itself',

  isPossibleOn: (_, features) => ({
    possible: true,
    why:
      features?.mappedRam === false
        ? 'QEMU can read the snapshot as a plain stream'
        : 'QEMU can read the snapshot itself',
  }),
  isMeantBy: () => true,

  fillsMemoryFirst: false,
  takesUnmeasured: true,
  keepsSnapshot: false,
  outOfBand: false,
  state: undefined,

  stateProblem: () => undefined,
  startAhead: () => undefined,
  prepare: async () => NOTHING_PREPARED,
  startsWithMemory: false,
  launchProblems: () => [],
  // An object may be missing on the command line; memory of the machine's own is not.
  memoryObject: ({ block, own, isDefault }) =>
    own !== undefined || isDefault
      ? undefined
      : { type: 'memory-backend-ram', members: reserveFor(block.length) },

  blocksInPlace: () => [],
  nothingInPlace: undefined,
  // A plain stream would resize blocks; mapped-ram does not.
  resizesBlocks: false,
  placeProblems: () => [],
  unlistedProblems: () => [],
  capabilityProblems: ({ capabilities }, known) =>
    known.length === 0
      ? []
      : capabilities
          // A QEMU without mapped-ram gets a plain stream, and so does every QEMU of a delta.
          .filter((capability) => !FORMS.has(capability) && !known.includes(capability))
          .map((capability) => `this QEMU does not know the capability ${capability}`),
  placeWarnings: () => [],

  load,
  // QEMU reads the snapshot itself.
  ready: async () => undefined,
};

/** QEMU reads the mapped-ram file, or a plain stream where QEMU would skip zero pages of the file. */
async function load(run: LoadRun): Promise<Loaded> {
  const { loadFile, loadState } = await import('../load.ts');
  const { formForQemu } = await import('./form-for-qemu.ts');
  const { blocksWithData } = await import('../written-by-board.ts');
  const { snapshot, facts, pid, qmp, options } = run;
  const written = await blocksWithData({ qmp, pid, machine: snapshot.index.machine }, snapshot, options);
  const { form, why, fresh } = await formForQemu(snapshot, facts, pid, written);
  if (form === 'mapped-ram') return loadFile(run, why);
  assertStreamOptions(run.options, why);
  // The plan for reading a plain stream does not depend on the stream's content.
  const loaded = await loadState(run, { reader: 'engine', mapped: false, fresh, why });
  return { ...loaded, plan: wholeGuest(loaded.plan, why) };
}

/** Makes the plan for a state stream that also holds the memory: the decisions are the same, the reasons are not. */
function wholeGuest(plan: RestorePlan, why: string): RestorePlan {
  const oneChannel = 'a plain stream from a file has one channel';
  return {
    ...plan,
    reader: 'qemu',
    mappedRam: { value: false, why },
    xIgnoreShared: { value: false, why: 'a plain stream has all of the memory in it' },
    multifd: { value: false, why: oneChannel },
    channels: { value: 1, why: oneChannel },
    directIo: { value: false, why: 'QEMU reads plain streams through the page cache' },
  };
}
