import type { TransferReport } from '../../engine/transfer-options.ts';
import type { Possibility } from '../../negotiate/host-facts.ts';
import type { ClosingWrapper } from '../../qemu/process/wrappers.ts';
import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { QemuFeatures } from '../../qemu/qemu-facts.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { GlobalState } from '../../stream/global-state.ts';
import type { MappedRamBlock, StreamIndex } from '../../stream/stream-index.ts';
import type { MemoryKind } from '../command-line/memory-kind.ts';
import type { MemoryPlan, PlannedBackend } from '../command-line/memory-plan.ts';
import type { ReadyLoad } from '../ahead/ready-load.ts';
import type { StreamFile } from '../ahead/stream-file.ts';
import type { CommandLineOption } from '../command-line/options.ts';
import type { Loaded, LoadRun } from '../load.ts';
import type { LoadOptions, ModeOption, PrepareOptions } from '../options.ts';
import type { MappedFile } from '../preflight/mapped-file.ts';

/**
 * A way for a guest's memory to get from a snapshot into QEMU. An object of this kind answers every question that
 * depends on the mode of a restore: nobody outside this folder asks which mode it is. A new mode is a file here, and a
 * line in modes.ts. The command line reads that table for its `--help`, so a mode imports its loader only when it
 * loads.
 *
 * All words are for people: no capital letter at the beginning, no full stop at the end.
 */
export interface Mode<Name extends string = string> {
  readonly name: Name;
  /** The mode's way with the memory, for `--help`: the name stands before it. */
  readonly summary: string;
  /** The outcome for blocks of memory, for reports: their names stand before it. */
  readonly outcome: string;

  /** The options that the mode has a use for. */
  readonly options: readonly ModeOption[];
  /** The reason why the mode has no use for the others. */
  readonly whyNoOthers: string;

  /**
   * Tells whether a platform allows the mode, and a QEMU, where its features are known.
   * @param features undefined when there is no QEMU to ask
   */
  isPossibleOn(platform: NodeJS.Platform, features?: QemuFeatures): Possibility;
  /**
   * True when the mode is the one for a QEMU that is there already, and the caller names none. When several are, the
   * first in the table is taken.
   * @param mapped the blocks that this QEMU maps out of the snapshot, by id
   */
  isMeantBy(mapped: readonly string[]): boolean;

  /** True when the mode fills memory before QEMU starts, so that a QEMU without that memory is too late for it. */
  readonly fillsMemoryFirst: boolean;
  /** True when the mode takes a snapshot whose device state only QEMU can measure. */
  readonly takesUnmeasured: boolean;
  /**
   * True when QEMU has the snapshot mapped afterwards, so that nobody may write into it while QEMU lives. QEMU then
   * gets a lock on the snapshot.
   */
  readonly keepsSnapshot: boolean;
  /** True when commands may have to get through to a QEMU whose main thread waits for memory. */
  readonly outOfBand: boolean;
  /** The state stream that the mode loads; undefined when the mode has no use for one that was made beforehand. */
  readonly state: StateForm | undefined;

  /** The reason why the mode cannot bring a guest back into the run state that its snapshot records, in words. */
  stateProblem(recorded: Pick<GlobalState, 'runState' | 'asleep'>): string | undefined;
  /**
   * Makes the files for the memory, before QEMU starts.
   * @param blocks the blocks that memory backends of the command line bring
   */
  prepare(
    snapshot: Snapshot,
    blocks: readonly MappedRamBlock[],
    options: PreparePlace,
  ): Promise<PreparedMemory>;
  /**
   * Starts what the load needs beside QEMU, while QEMU starts. Disposal ends it, unless the load has it by then.
   * @returns undefined when there is nothing to start
   * @throws {MappedRamError} when the load could not be as the options want it, which can be seen without a QEMU
   */
  startAhead(snapshot: Snapshot, options: LoadOptions): AsyncDisposable | undefined;
  /** True when the memory of the blocks with backends is in place as soon as QEMU has started. */
  readonly startsWithMemory: boolean;
  /** Lists the parts of a command line that the mode cannot handle, in words. */
  launchProblems(
    options: readonly CommandLineOption[],
    plan: MemoryPlan,
    memory: MemoryKind | undefined,
  ): readonly string[];
  /** The object that brings a block's memory; undefined when the caller's own will do, or QEMU's. */
  memoryObject(backend: PlannedBackend, place: LaunchPlace): MemoryObject | undefined;

  /**
   * Returns the blocks whose memory is in place in a QEMU that waits, by id.
   * @param given the caller's list
   * @param mapped the blocks that this QEMU maps out of the snapshot
   */
  blocksInPlace(given: readonly string[] | undefined, mapped: readonly string[]): readonly string[];
  /** The problem when no block is in place; undefined when none need be. */
  readonly nothingInPlace: string | undefined;
  /** True when QEMU gives blocks that can be resized (ACPI tables) the length that they have in the snapshot. */
  readonly resizesBlocks: boolean;
  /** Lists reasons why a block's memory cannot be, or come, where QEMU has that block. */
  placeProblems(block: MappedRamBlock, found: MemoryBlock, place: BlockPlace): readonly string[];
  /** Lists reasons of that kind that can be seen although QEMU does not list its blocks. */
  unlistedProblems(block: MappedRamBlock, place: BlockPlace): readonly string[];
  /** Lists capabilities that QEMU lacks. @param known the capabilities that QEMU has; empty when it does not tell */
  capabilityProblems(index: StreamIndex, known: readonly string[]): readonly string[];
  /** Lists assumptions about a QEMU that cannot be checked, in words. */
  placeWarnings(file: MappedFile): readonly string[];

  /** Lets QEMU take the guest over. */
  load(run: LoadRun): Promise<Loaded>;
  /**
   * Gives a QEMU beforehand what it needs to load a state stream, which is in the file by the time of `load`.
   * @returns undefined when it is to be given all of that then
   */
  ready(run: LoadRun, file: StreamFile): Promise<ReadyLoad | undefined>;
}

/** A mode as its file exports it, without its name: the table names it. */
export type NamelessMode = Omit<Mode, 'name'>;

/** The kind of state stream that a mode loads. */
export interface StateForm {
  /** True when blocks in place are mappings of the snapshot file; see `StateStreamOptions`. */
  readonly mapped: boolean;
}

/** Memory that is ready for a QEMU to be started. Disposal closes the files: QEMU has them by then. */
export interface PreparedMemory extends AsyncDisposable {
  /** The file in which QEMU finds the memory of each block, by block id. */
  readonly files: Readonly<Record<string, string>>;
  /** The descriptors behind those paths, in the order in which QEMU inherits them. */
  readonly descriptors: readonly number[];
  /** The engine's report on loading the memory; undefined when nothing was loaded. */
  readonly report: TransferReport | undefined;
  readonly warnings: readonly string[];
}

/** The surroundings that memory is prepared for. */
export interface PreparePlace extends PrepareOptions {
  /** The program on the command line that keeps QEMU from inheriting descriptors; undefined when there is none. */
  readonly closedBy: ClosingWrapper | undefined;
}

/** The outcome for a QEMU that brings its memory itself. */
export const NOTHING_PREPARED: PreparedMemory = {
  files: {},
  descriptors: [],
  report: undefined,
  warnings: [],
  [Symbol.asyncDispose]: async () => undefined,
};

/** The surroundings that a memory object is made for. */
export interface LaunchPlace {
  /** The caller's file for the block's memory. */
  readonly file: string | undefined;
  /** The snapshot's own file. */
  readonly snapshotFile: string;
  /** The kind of memory that the caller asks for. */
  readonly memory: MemoryKind | undefined;
}

/** A `-object memory-backend-…` without its id and size. */
export interface MemoryObject {
  readonly type: string;
  /** Members such as `['share', 'on']`. */
  readonly members: readonly (readonly [key: string, value: string])[];
}

/** The known facts about a block in QEMU. */
export interface BlockPlace {
  /** True when the block's memory counts as in place. */
  readonly isInPlace: boolean;
  /** The snapshot's file. */
  readonly file: MappedFile;
}
