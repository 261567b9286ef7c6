import type { TransferReport } from '../../engine/transfer-options.ts';
import type { MemoryBlock } from '../../qemu/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { MappedRamBlock, StreamIndex } from '../../stream/stream-index.ts';
import type { MemoryPlan, PlannedBackend } from '../command-line/memory-plan.ts';
import type { CommandLineOption } from '../command-line/options.ts';
import type { Loaded, LoadRun } from '../load.ts';
import type { ModeOption, PrepareOptions } from '../options.ts';
import type { MappedFile } from '../preflight/mapped-file.ts';

/**
 * A way for a guest's memory to get from a snapshot into QEMU. All that depends on the mode of a restore is asked of an
 * object of this kind; nobody outside this folder asks which mode it is. A new mode is a file here, and a line in
 * modes.ts. The command line reads that table for its `--help`, so a mode imports what loads when it loads.
 *
 * All words are for people: no capital letter at the beginning, no full stop at the end.
 */
export interface Mode<Name extends string = string> {
  readonly name: Name;
  /** What the mode does with the memory, for `--help`: the name stands before it. */
  readonly summary: string;
  /** What has become of blocks of memory, for reports: their names stand before it. */
  readonly outcome: string;

  /** The options that the mode has a use for. */
  readonly options: readonly ModeOption[];
  /** Why it has no use for the others. */
  readonly whyNoOthers: string;

  /** Whether the mode can be had on a platform, for restores that name no mode. */
  isPossibleOn(platform: NodeJS.Platform): Possibility;
  /**
   * Whether the mode is the one for a QEMU that is there already, when the caller names none. Of several, the first in
   * the table is taken.
   * @param mapped the blocks that this QEMU maps out of the snapshot, by id
   */
  isMeantBy(mapped: readonly string[]): boolean;

  /** Whether the mode fills memory before QEMU starts, so that a QEMU without that memory is too late for it. */
  readonly fillsMemoryFirst: boolean;
  /** Whether a snapshot will do whose device state only QEMU can measure. */
  readonly takesUnmeasured: boolean;
  /**
   * Whether QEMU has the snapshot mapped afterwards, so that nobody must write into it while QEMU lives: QEMU is handed
   * a lock on it.
   */
  readonly keepsSnapshot: boolean;
  /** The state stream that the mode loads; undefined when it has no use for one that was made beforehand. */
  readonly state: StateForm | undefined;

  /**
   * Makes the files that memory is to come from, before QEMU starts.
   * @param blocks those that memory backends of the command line bring
   */
  prepare(
    snapshot: Snapshot,
    blocks: readonly MappedRamBlock[],
    options: PrepareOptions,
  ): Promise<PreparedMemory>;
  /** Whether the memory of the blocks that backends bring is in place as soon as QEMU has started. */
  readonly startsWithMemory: boolean;
  /** Lists what in a command line the mode cannot handle, in words. */
  launchProblems(
    options: readonly CommandLineOption[],
    backends: readonly PlannedBackend[],
  ): readonly string[];
  /** The object that brings a block's memory; undefined when the caller's own will do, or QEMU's. */
  memoryObject(backend: PlannedBackend, place: LaunchPlace): MemoryObject | undefined;

  /**
   * The blocks whose memory is in place in a QEMU that waits, by id.
   * @param given by the caller
   * @param mapped the blocks that this QEMU maps out of the snapshot
   */
  blocksInPlace(given: readonly string[] | undefined, mapped: readonly string[]): readonly string[];
  /** What is wrong when there are none; undefined when there need be none. */
  readonly nothingInPlace: string | undefined;
  /** Whether QEMU gives blocks that can be resized (ACPI tables) the length that they have in the snapshot. */
  readonly resizesBlocks: boolean;
  /** Why a block's memory cannot be, or come, where QEMU has that block. */
  placeProblems(block: MappedRamBlock, found: MemoryBlock, place: BlockPlace): readonly string[];
  /** Capabilities that QEMU lacks. @param known empty when it does not tell */
  capabilityProblems(index: StreamIndex, known: readonly string[]): readonly string[];
  /** Lists what can only be believed of a QEMU, in words. */
  placeWarnings(file: MappedFile): readonly string[];

  /** Lets QEMU take the guest over. */
  load(run: LoadRun): Promise<Loaded>;
}

/** A mode without its name, as its file has it: the table names it. */
export type NamelessMode = Omit<Mode, 'name'>;

/** Something that is possible, or not; both for a reason. */
export interface Possibility {
  readonly possible: boolean;
  readonly why: string;
}

/** What sort of state stream a mode loads. */
export interface StateForm {
  /** Whether blocks in place are mappings of the snapshot file, as `StateStreamOptions` has it. */
  readonly mapped: boolean;
}

/** Memory that is ready for a QEMU to be started. Disposing of it closes the files: QEMU has them by then. */
export interface PreparedMemory extends AsyncDisposable {
  /** Where QEMU finds the memory of each block, by id. */
  readonly files: Readonly<Record<string, string>>;
  /** How the memory was loaded; undefined when nothing was. */
  readonly report: TransferReport | undefined;
  readonly warnings: readonly string[];
}

/** What a memory object is made for. */
export interface LaunchPlace {
  readonly plan: MemoryPlan;
  /** The file that was given for the block's memory. */
  readonly file: string | undefined;
  /** The snapshot's own file. */
  readonly snapshotFile: string;
}

/** A `-object memory-backend-…` without its id and size. */
export interface MemoryObject {
  readonly type: string;
  /** Such as `['share', 'on']`. */
  readonly members: readonly (readonly [key: string, value: string])[];
}

/** What is known of a block in QEMU. */
export interface BlockPlace {
  /** Whether the block's memory is said to be in place. */
  readonly isInPlace: boolean;
  /** The snapshot's file. */
  readonly file: MappedFile;
}
