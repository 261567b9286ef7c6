import { localFile } from '../../io/open-source.ts';
import { inheritedPath } from '../../qemu/process/qemu-process.ts';
import { privateMapping } from '../command-line/private-mapping.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import { type CommandLineOption, membersOf } from '../command-line/options.ts';
import { mappingProblems } from '../preflight/mapping.ts';
import { backendProblems, IN_PLACE_WHY, needsProc, noBackend } from './in-place.ts';
import { NOTHING_PREPARED, type NamelessMode, type PreparedMemory, type PreparePlace } from './mode.ts';

/** The reason why QEMU reads a delta. */
const DELTA_WHY = 'the memory of the base is in place, and QEMU reads the delta over it';

/** QEMU maps the snapshot privately, read-only, page by page as the guest touches it. */
export const instant: NamelessMode = {
  summary: 'maps the memory out of the snapshot',
  outcome: 'mapped out of the snapshot',

  options: ['workingSet'],
  whyNoOthers: 'the memory is mapped out of the snapshot, nobody reads it beforehand',

  isPossibleOn: (platform, features) =>
    features?.mapsParts === false
      ? { possible: false, why: 'this QEMU cannot map a part of a file privately (QEMU 8.2 and later can)' }
      : needsProc(platform, 'QEMU can map the memory out of the snapshot'),
  isMeantBy: (mapped) => mapped.length > 0,

  fillsMemoryFirst: false,
  takesUnmeasured: false,
  keepsSnapshot: true,
  outOfBand: false,
  // A mapping may show other bytes of the file in place of zero pages; the stream has to bring those pages.
  state: { mapped: true },

  stateProblem: () => undefined,
  startAhead: () => undefined,
  prepare,
  startsWithMemory: true,
  launchProblems: (options, plan) => [
    ...backendProblems(options, plan),
    ...copyProblems(options),
    ...deviceProblems(options),
  ],
  memoryObject: ({ block }, { file, snapshotFile }) =>
    privateMapping(file ?? snapshotFile, block.area.pagesOffset, block.length),

  blocksInPlace: (given, mapped) => given ?? mapped,
  nothingInPlace:
    'QEMU maps no block of the snapshot: start it with what launchArguments says, or use mode eager',
  resizesBlocks: true,
  placeProblems: (block, { backend }, { isInPlace, file }) => {
    if (!isInPlace) return [];
    if (backend === undefined) return [noBackend(block)];
    const wrong = mappingProblems(block, backend, file);
    return wrong.length === 0 ? [] : [`block ${block.id} does not map the snapshot: it ${wrong.join(', ')}`];
  },
  unlistedProblems: ({ id, area }, { isInPlace, file: { path, isMappedAt } }) =>
    isInPlace && isMappedAt?.(area.pagesOffset) === false
      ? [`block ${id} does not map the snapshot: QEMU maps nothing of ${path} there`]
      : [],
  capabilityProblems: () => [],
  placeWarnings: ({ path, isMappedAt }) =>
    isMappedAt === undefined
      ? [
          `that QEMU maps this very file could not be seen, only that it maps one of its name: if ${path} was replaced since QEMU was started, the guest has the memory of another snapshot`,
        ]
      : [],

  load: async (run) => {
    const { loadFile, loadState } = await import('../load.ts');
    const { mayReadDelta } = await import('./delta-for-qemu.ts');
    if (await mayReadDelta(run)) return loadFile(run, DELTA_WHY);
    return loadState(run, { reader: 'nobody', mapped: true, why: IN_PLACE_WHY });
  },
  ready: async (run, file) => {
    const { readyState } = await import('../load.ts');
    return readyState(run, file, 'nobody');
  },
};

/** Makes QEMU open this very file, whatever happens to its name meanwhile. */
async function prepare(
  snapshot: Snapshot,
  blocks: readonly MappedRamBlock[],
  { closedBy }: PreparePlace,
): Promise<PreparedMemory> {
  // QEMU then opens the snapshot by its name, and the comparison of mappings tells whether that still is its name.
  if (closedBy !== undefined) return NOTHING_PREPARED;
  const { fd } = localFile(snapshot.mappable.reader, 'a restore');
  return {
    files: Object.fromEntries(blocks.map(({ id }) => [id, inheritedPath(0)])),
    descriptors: [fd],
    report: undefined,
    warnings: [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** Lists options that make QEMU touch all of the memory at once. */
function copyProblems(options: readonly CommandLineOption[]): readonly string[] {
  const problems: string[] = [];
  if (options.some(({ name }) => name === 'mem-prealloc')) {
    problems.push('-mem-prealloc would copy the whole memory: leave it out, or use mode preload');
  }
  const locks = membersOf(options, 'overcommit').map((overcommit) => overcommit.get('mem-lock'));
  if (locks.includes('on')) {
    problems.push(
      '-overcommit mem-lock=on would copy the whole memory: use mem-lock=on-fault, or mode preload',
    );
  }
  return problems;
}

/** Lists devices that need memory of another kind than a private mapping of a read-only file. */
function deviceProblems(options: readonly CommandLineOption[]): readonly string[] {
  const drivers = [
    ...membersOf(options, 'device').map((device) => device.get('driver') ?? ''),
    ...membersOf(options, 'netdev').map((netdev) => netdev.get('type') ?? ''),
  ];
  return drivers.flatMap((driver) => {
    if (driver.startsWith('vhost-user')) return [`${driver} needs shared memory: use mode preload`];
    if (!driver.startsWith('virtio-mem')) return [];
    return [`${driver} gives memory back, which a read-only file does not allow: use mode eager`];
  });
}
