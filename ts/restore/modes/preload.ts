import { MappedRamError } from '../../errors.ts';
import { inheritedPath } from '../../qemu/process/qemu-process.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { backendProblems, IN_PLACE_WHY, needsProc, noBackend } from './in-place.ts';
import type { NamelessMode, PreparedMemory, PreparePlace } from './mode.ts';

/** The engine loads the memory into files, which QEMU then shares. */
export const preload: NamelessMode = {
  summary: 'loads it first',
  outcome: 'loaded beforehand',

  options: ['ramDirectory', 'transfer'],
  whyNoOthers: 'no memory goes through QEMU; how it is read is said in transfer',

  isPossibleOn: (platform) => needsProc(platform, 'the engine can load the memory for QEMU'),
  // QEMU shows no sign that memory was loaded beforehand.
  isMeantBy: () => false,

  fillsMemoryFirst: true,
  takesUnmeasured: false,
  keepsSnapshot: false,
  outOfBand: false,
  state: { mapped: false },

  stateProblem: () => undefined,
  startAhead: () => undefined,
  prepare,
  startsWithMemory: true,
  launchProblems: backendProblems,
  memoryObject: ({ block }, { file }) => {
    if (file !== undefined) {
      return {
        type: 'memory-backend-file',
        members: [
          ['mem-path', file],
          ['share', 'on'],
        ],
      };
    }
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `where the memory of ${block.id} was loaded to`,
      { expected: 'a path in files', found: 'none' },
    );
  },

  blocksInPlace: (given) => given ?? [],
  nothingInPlace: 'which blocks are loaded already: preload has to say (blocks)',
  resizesBlocks: true,
  placeProblems: (block, { backend }, { isInPlace }) =>
    isInPlace && backend === undefined ? [noBackend(block)] : [],
  unlistedProblems: () => [],
  capabilityProblems: () => [],
  placeWarnings: () => [],

  load: async (run) => {
    const { loadState } = await import('../load.ts');
    return loadState(run, { reader: 'engine', mapped: false, why: IN_PLACE_WHY });
  },
  ready: async (run, file) => {
    const { readyState } = await import('../load.ts');
    return readyState(run, file, 'engine');
  },
};

async function prepare(
  snapshot: Snapshot,
  blocks: readonly MappedRamBlock[],
  { ramDirectory, transfer, signal, closedBy }: PreparePlace,
): Promise<PreparedMemory> {
  if (closedBy?.isRoot === false) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      `${closedBy.program} closes the descriptors by which QEMU gets memory that was loaded beforehand: use mode instant or eager, or a program that keeps them (setpriv, runuser)`,
    );
  }
  const { preloadRam } = await import('../preload.ts');
  const ids = blocks.map(({ id }) => id);
  const ram = await preloadRam(snapshot, { ...transfer, directory: ramDirectory, signal, blocks: ids });
  const inherited = Object.fromEntries(
    [...ram.descriptors.keys()].map((id, index) => [id, inheritedPath(index)]),
  );
  return {
    // Root opens the files of this process.
    files: closedBy === undefined ? inherited : ram.files,
    descriptors: [...ram.descriptors.values()],
    report: ram.report,
    warnings: ram.warnings,
    [Symbol.asyncDispose]: () => ram.close(),
  };
}
