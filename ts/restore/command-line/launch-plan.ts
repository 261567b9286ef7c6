import { localFile } from '../../io/open-source.ts';
import { resolve } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import { procPath } from '../../io/anonymous-file.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MemoryFileOfBlock } from '../memory-in-use.ts';
import type { Mode } from '../modes/mode.ts';
import { launchProblems } from './launch-problems.ts';
import type { MemoryKind } from './memory-kind.ts';
import { type MemoryPlan, type PlannedBackend, planMemory } from './memory-plan.ts';
import { isOn } from './option-value.ts';
import { type CommandLineOption, membersOf, valuesOf } from './options.ts';
import { objectWords, replaceObjects } from './replace-objects.ts';

export interface LaunchArguments {
  /** The whole command line, without the binary. */
  readonly args: readonly string[];
  /** The blocks whose memory comes with the command line. The state stream brings all others. */
  readonly blocks: readonly string[];
}

/** The files that hold the memory of blocks, by block id. */
export type MemoryFiles = Readonly<Record<string, string>>;

export interface LaunchPlanOptions {
  /** The answer of this QEMU about the snapshot's machine type, if it was asked. */
  readonly defaultRam?: string | undefined;
  /** What the command line is compared with, in words for people who know of no snapshot and no mode. */
  readonly whose?: string | undefined;
  /** The kind of memory that the guest is to have, where the mode leaves that to the caller. */
  readonly memory?: MemoryKind | undefined;
}

/** A command line and a snapshot that go together in a mode. The constructor refuses those that do not. */
export class LaunchPlan {
  readonly #mode: Mode;
  readonly #commandLine: readonly CommandLineOption[];
  readonly #memory: MemoryPlan;
  readonly #snapshot: Snapshot;
  readonly #kind: MemoryKind | undefined;

  /**
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming everything in the command line that does not go
   *   with the snapshot or the mode; ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_UNSUPPORTED as `Snapshot.completeRam`
   */
  constructor(
    snapshot: Snapshot,
    mode: Mode,
    commandLine: readonly CommandLineOption[],
    { defaultRam, whose = `${snapshot.path} (mode ${mode.name})`, memory: kind }: LaunchPlanOptions = {},
  ) {
    const { blocks } = snapshot.completeRam(mode.takesUnmeasured);
    const memory = planMemory(commandLine, { machine: snapshot.index.machine, blocks, defaultRam });
    const problems = [
      ...memory.problems,
      ...launchProblems(commandLine),
      ...mode.launchProblems(commandLine, memory, kind),
    ];
    if (problems.length > 0) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        `the command line does not go with ${whose}: ${problems.join('; ')}`,
      );
    }
    this.#mode = mode;
    this.#commandLine = commandLine;
    this.#memory = memory;
    this.#snapshot = snapshot;
    this.#kind = kind;
  }

  /** The blocks that memory backends are to bring. */
  get backends(): readonly PlannedBackend[] {
    return this.#memory.backends;
  }

  /** The blocks whose memory comes with the command line, by id. */
  get blocks(): readonly string[] {
    return this.#mode.startsWithMemory ? this.backends.map(({ block }) => block.id) : [];
  }

  /** The caller's own files that QEMU has as memory and loads into. QEMU may mean other files by these paths. */
  get memoryFiles(): readonly MemoryFileOfBlock[] {
    if (this.#mode.startsWithMemory) return [];
    return this.backends.flatMap((backend) => {
      const { own, block } = backend;
      const path = own?.get('mem-path');
      const isShared = isOn(own?.get('share'));
      if (path === undefined || this.#objectFor(backend, {}) !== undefined) return [];
      return [{ id: block.id, path, isShared }];
    });
  }

  /** The files of the caller's objects that this restore leaves out, in words. */
  get warnings(): readonly string[] {
    const isReplaced = this.#mode.startsWithMemory || this.#kind !== undefined;
    return isReplaced ? this.#memory.losses : [];
  }

  /**
   * Makes the command line for QEMU.
   * @param files the files that hold the memory of blocks, by id
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the mode needs a file that is missing
   */
  launchWith(files: MemoryFiles): LaunchArguments {
    const objects = new Map<string, readonly string[]>();
    for (const backend of this.backends) {
      const object = this.#objectFor(backend, files);
      if (object !== undefined) objects.set(backend.id, object);
    }
    const args = [
      ...replaceObjects(this.#commandLine, objects),
      ...additions(this.#commandLine, this.#memory, objects, this.#snapshot),
    ];
    return { args, blocks: this.blocks };
  }

  #objectFor(backend: PlannedBackend, files: MemoryFiles): readonly string[] | undefined {
    const { block, id, own } = backend;
    const { reader, blocks } = this.#snapshot.mappable;
    const { path, fd } = localFile(reader, 'a restore');
    const place = blocks.find((candidate) => candidate.id === block.id) ?? block;
    const object = this.#mode.memoryObject(
      { ...backend, block: place },
      {
        file: files[block.id],
        snapshotFile: path === undefined ? procPath(fd) : resolve(path),
        memory: this.#kind,
      },
    );
    if (object === undefined) return undefined;
    const { machine } = this.#snapshot.index;
    return objectWords(object, { id, blockId: block.id, length: block.length, machine, own });
  }
}

function additions(
  options: readonly CommandLineOption[],
  plan: MemoryPlan,
  objects: ReadonlyMap<string, readonly string[]>,
  snapshot: Snapshot,
): readonly string[] {
  const fresh = plan.backends.flatMap(({ id, own }) => (own === undefined ? (objects.get(id) ?? []) : []));
  const { machineBackend, size } = plan;
  const isThere = plan.backends.some(
    ({ id, own }) => id === machineBackend && (own !== undefined || objects.has(id)),
  );
  const backend = isThere ? ['-machine', `memory-backend=${machineBackend}`] : [];
  const namesMachine = membersOf(options, 'machine').some((machine) => machine.has('type'));
  return [
    ...(namesMachine ? [] : ['-machine', snapshot.index.machine]),
    ...(size === undefined ? [] : ['-m', `${size}B`]),
    ...fresh,
    ...backend,
    ...(valuesOf(options, 'incoming').length === 0 ? ['-incoming', 'defer'] : []),
  ];
}
