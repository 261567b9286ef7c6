import { type MemoryKind, memoryObjectOf } from '../command-line/memory-kind.ts';
import { EarlyServer } from '../postcopy/early-server.ts';
import { memoryFileProblem } from '../postcopy/memory-file-problem.ts';
import { assertReadable } from '../postcopy/served-memory.ts';
import { type NamelessMode, NOTHING_PREPARED } from './mode.ts';

/** Run states of guests that can run, or stand still. */
const PLAIN_STATES: ReadonlySet<string> = new Set(['running', 'paused', 'prelaunch']);

/** The guest runs at once, and QEMU asks for each page that it touches. */
export const lazy: NamelessMode = {
  summary: 'lets the guest run at once, and brings the memory after it',
  outcome: 'brought after the guest',

  options: ['postcopy', 'memory', 'directIo', 'workingSet'],
  whyNoOthers: 'pages go through a socket, as QEMU asks for them',

  isPossibleOn: (platform) =>
    platform === 'linux'
      ? { possible: true, why: 'QEMU can ask for its memory page by page, where it may have a userfaultfd' }
      : { possible: false, why: 'QEMU asks for pages by userfaultfd, which only Linux has' },
  // Nothing about a QEMU that waits tells that its memory is to come later.
  isMeantBy: () => false,

  fillsMemoryFirst: false,
  takesUnmeasured: false,
  keepsSnapshot: false,
  outOfBand: true,
  state: undefined,

  // QEMU lets the guest run or has it stand still, whatever the state records.
  stateProblem: ({ runState, asleep }) =>
    PLAIN_STATES.has(runState) && !asleep
      ? undefined
      : `a guest in the state ${asleep ? 'suspended' : runState} cannot come back so: use another mode`,
  startAhead: (snapshot, { postcopy, directIo, signal }) => {
    // What cannot be is refused before there is a QEMU.
    assertReadable(snapshot, directIo);
    return postcopy?.server === 'caller' ? undefined : new EarlyServer(snapshot, signal);
  },
  prepare: async () => NOTHING_PREPARED,
  startsWithMemory: false,
  launchProblems: (_, { backends }, memory) =>
    backends.flatMap(({ block, own }) => {
      const path = memory === undefined ? own?.get('mem-path') : pathOf(memory);
      const problem = path === undefined ? undefined : memoryFileProblem(block.id, path);
      return problem === undefined ? [] : [problem];
    }),
  memoryObject: ({ block, own, isDefault }, { memory }) =>
    memory === undefined && (own !== undefined || isDefault)
      ? undefined
      : memoryObjectOf(memory ?? 'anonymous', block.length),

  blocksInPlace: () => [],
  nothingInPlace: undefined,
  resizesBlocks: true,
  placeProblems: () => [],
  unlistedProblems: ({ id }) => [
    `block ${id}: this QEMU does not list its memory, whose page sizes must be known`,
  ],
  capabilityProblems: () => [],
  placeWarnings: () => [],

  load: async (run) => {
    const { loadLazily } = await import('../postcopy/load-lazily.ts');
    return loadLazily(run);
  },
  // The load begins with a socket, not with a file.
  ready: async () => undefined,
};

/** The directory or file of a kind of memory that has one. */
function pathOf(memory: MemoryKind): string | undefined {
  return typeof memory === 'object' ? memory.path : undefined;
}
