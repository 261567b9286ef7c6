import { resolve } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import type { RestoreMode } from '../../negotiate/plan.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { SnapshotSource } from '../../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../../snapshot/using-snapshot.ts';
import { isDefaultMemory } from '../../stream/block-names.ts';
import { localFile } from '../../io/open-source.ts';
import { procPath } from '../../io/anonymous-file.ts';
import { type CommandLineOption, parseCommandLine, valuesOf } from './options.ts';
import { launchProblems } from './launch-problems.ts';
import { isMemoryBackend, type MemoryPlan, type PlannedBackend, planMemory } from './memory-plan.ts';
import { formatOptionValue, parseOptionValue } from './option-value.ts';

export interface LaunchOptions {
  /** Where the guest's memory is to come from. */
  readonly mode: RestoreMode;
  /** The command line of the QEMU that is to take the guest over, without the binary. */
  readonly args: readonly string[];
  /**
   * The files that hold the memory of blocks, by block id: for `preload` what `preloadRam` made, for `instant` other
   * names of the snapshot. @default for `instant` the snapshot's path
   */
  readonly files?: Readonly<Record<string, string>> | undefined;
}

export interface LaunchArguments {
  /** The whole command line, without the binary. */
  readonly args: readonly string[];
  /** The blocks whose memory comes with the command line. The state stream brings all others. */
  readonly blocks: readonly string[];
}

/** What the caller's own object may say and ours keeps saying. */
const KEPT = ['merge', 'dump', 'policy', 'host-nodes'];
const CANONICAL = 'x-use-canonical-path-for-ramblock-id';

/**
 * Makes of a command line for a fresh guest one that takes a snapshot over: memory backends under the names of the
 * snapshot's blocks in place of the caller's (`-numa node,memdev=` too), `-m`, `-machine` and `-incoming defer` where
 * they are missing. Nothing is started, and nothing stays open.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming everything in the command line that does not go with
 *   the snapshot or the mode; ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_UNSUPPORTED as `Snapshot.completeRam`
 */
export async function launchArguments(
  source: SnapshotSource | Snapshot,
  options: LaunchOptions,
): Promise<LaunchArguments> {
  return usingSnapshot(source, undefined, async (snapshot) => launchArgumentsFor(snapshot, options));
}

/** As `launchArguments`, for a snapshot that is open. @throws {MappedRamError} as `launchArguments` */
export function launchArgumentsFor(snapshot: Snapshot, options: LaunchOptions): LaunchArguments {
  const { mode, args, files } = options;
  const ram = snapshot.completeRam(mode === 'eager');
  const parsed = parseCommandLine(args);
  const plan = planMemory(parsed, ram.blocks);
  const problems = [...plan.problems, ...launchProblems(mode, parsed, plan.backends)];
  if (problems.length > 0) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `the command line does not go with ${snapshot.path} (mode ${mode}): ${problems.join('; ')}`,
    );
  }
  const ours =
    mode === 'eager' ? plan.backends.filter((backend) => needsObject(backend, plan)) : plan.backends;
  const objects = new Map(
    ours.map((backend) => [backend.id, objectFor(backend, mode, fileOf(backend, snapshot, files, mode))]),
  );
  return {
    args: [...rewritten(parsed, objects, plan), ...additions(parsed, plan, objects, snapshot)],
    blocks: mode === 'eager' ? [] : plan.backends.map(({ block }) => block.id),
  };
}

/** QEMU reads the pages itself: only names have to fit. */
function needsObject({ own, block }: PlannedBackend, plan: MemoryPlan): boolean {
  return own === undefined && !(plan.machineBackend !== undefined && isDefaultMemory(block.id));
}

function fileOf(
  { block }: PlannedBackend,
  snapshot: Snapshot,
  files: Readonly<Record<string, string>> = {},
  mode: RestoreMode,
): string {
  const file = files[block.id];
  if (file !== undefined) return file;
  if (mode !== 'preload') {
    const { path, fd } = localFile(snapshot.reader, 'a restore');
    return path === undefined ? procPath(fd) : resolve(path);
  }
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `where the memory of ${block.id} was loaded to`,
    {
      expected: 'a path in files',
      found: 'none',
    },
  );
}

type Member = readonly [key: string, value: string];

function objectFor({ block, id, own }: PlannedBackend, mode: RestoreMode, file: string): readonly string[] {
  const type = mode === 'eager' ? 'memory-backend-ram' : 'memory-backend-file';
  const path: Member = ['mem-path', file];
  const special: Readonly<Record<RestoreMode, readonly Member[]>> = {
    eager: [],
    preload: [path, ['share', 'on']],
    instant: [
      path,
      ['offset', String(block.area.pagesOffset)],
      ['share', 'off'],
      ['readonly', 'on'],
      ['rom', 'off'],
    ],
  };
  const kept = KEPT.map((key): Member => [key, own?.get(key) ?? '']).filter(([, value]) => value !== '');
  const members = new Map([['qom-type', type], ['id', id], ['size', String(block.length)], ...special[mode]]);
  if (block.id !== id) members.set(CANONICAL, 'on');
  for (const [key, value] of kept) members.set(key, value);
  return ['-object', formatOptionValue(members, 'qom-type')];
}

/** The caller's words, with our objects in place of the caller's. */
function rewritten(
  options: readonly CommandLineOption[],
  objects: ReadonlyMap<string, readonly string[]>,
  plan: MemoryPlan,
): readonly string[] {
  const own = plan.backends.filter((backend) => backend.own !== undefined);
  return options.flatMap((option) => {
    if (option.name !== 'object') return option.words;
    const object = parseOptionValue(option.value ?? '', 'qom-type');
    const replaced = own.find(({ id }) => isMemoryBackend(object) && id === object.get('id'));
    return (replaced === undefined ? undefined : objects.get(replaced.id)) ?? option.words;
  });
}

function additions(
  options: readonly CommandLineOption[],
  plan: MemoryPlan,
  objects: ReadonlyMap<string, readonly string[]>,
  snapshot: Snapshot,
): readonly string[] {
  const fresh = plan.backends.flatMap(({ id, own }) => (own === undefined ? (objects.get(id) ?? []) : []));
  const { machineBackend, size } = plan;
  const backend =
    machineBackend === undefined || !objects.has(machineBackend)
      ? []
      : ['-machine', `memory-backend=${machineBackend}`];
  const namesMachine = valuesOf(options, 'machine').some((value) =>
    parseOptionValue(value, 'type').has('type'),
  );
  return [
    ...(namesMachine ? [] : ['-machine', snapshot.index.machine]),
    ...(size === undefined ? [] : ['-m', `${size}B`]),
    ...fresh,
    ...backend,
    ...(valuesOf(options, 'incoming').length === 0 ? ['-incoming', 'defer'] : []),
  ];
}
