import type { CaptureFacts } from './capture/capture-facts.ts';
import type { FileMemoryBlock } from '../qemu/memory/memory-block.ts';
import type { QemuFacts } from '../qemu/qemu-facts.ts';
import type { QmpArgument } from '../qmp/json.ts';
import type { PlanTarget, Reader, SaveForm, Writer, ZeroPageDetection } from './request.ts';
import type { RuleId } from './rules/rules.ts';

/** One part of a plan. */
export interface Decision<T> {
  readonly value: T;
  /** The reason for people: no capital letter at the beginning, no full stop at the end. */
  readonly why: string;
  /** The rule that decided against the caller's wish, when one did. */
  readonly rule?: RuleId;
}

/**
 * Something that the caller should know beyond the decisions: a setting found in QEMU that is put aside, or a warning.
 */
export interface PlanNote {
  readonly rule: RuleId;
  readonly effect: 'override' | 'warn';
  readonly words: string;
}

/** The parts that plans of both directions have. */
export interface CommonPlan {
  readonly target: PlanTarget;
  /**
   * QEMU's capability mapped-ram. It is off with writer `engine` and with the readers `engine` and `nobody`: QEMU then
   * handles its device state only, as a plain stream. The snapshot that the engine writes is a mapped-ram file all the
   * same.
   */
  readonly mappedRam: Decision<boolean>;
  readonly multifd: Decision<boolean>;
  /** Channels that move the pages; undefined leaves the number to the engine. */
  readonly channels: Decision<number | undefined>;
  /**
   * O_DIRECT for the pages, by QEMU or, in a save and in a lazy restore, by this package. Off with the readers `engine`
   * and `nobody` otherwise.
   */
  readonly directIo: Decision<boolean>;
  readonly xIgnoreShared: Decision<boolean>;
  /**
   * True to open the file here and hand QEMU descriptors (class FdSet); with `directIo` both a buffered and an O_DIRECT
   * one. A QEMU that opens no files for a migration (before 8.2) gets one descriptor with a name, not a set. When QEMU handles its device state only: true when that can go through a descriptor.
   */
  readonly fdset: Decision<boolean>;
  /** Every capability that matters to this plan, on or off, for `applyPlan` to set. */
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** Every parameter that matters to this plan, for `applyPlan` to set. */
  readonly parameters: Readonly<Record<string, QmpArgument>>;
  readonly notes: readonly PlanNote[];
  readonly qemu: QemuFacts;
}

export interface SavePlan extends CommonPlan {
  readonly direction: 'save';
  readonly writer: Decision<Writer>;
  /**
   * True when the engine takes the guest out of QEMU's process: QEMU writes its device state by itself, in milliseconds and
   * outside of a migration, and the engine reads the memory, private or shared.
   */
  readonly stateOnly: Decision<boolean>;
  /** The base of an incremental save; undefined for a save of all of the memory. */
  readonly base: Decision<string | undefined>;
  /**
   * The form of the snapshot: `delta` stands on the base. Undefined where the filesystem decides, which `planSave` asks, and
   * `save` right before the guest is stopped.
   */
  readonly form: Decision<SaveForm | undefined>;
  /** The facts about taking the guest out of QEMU's process; undefined where nobody asked. @internal */
  readonly capture: CaptureFacts | undefined;
  readonly zeroPageDetection: Decision<ZeroPageDetection>;
  /** True when the guest goes on while QEMU writes, until QEMU stops it. */
  readonly live: Decision<boolean>;
  /** The form of the file at the target after the save. */
  readonly format: 'mapped-ram' | 'stream';
  /**
   * The blocks that the engine writes, each with the file that holds its memory. Every other block holds
   * little and comes in QEMU's stream. Empty with writer `qemu`.
   */
  readonly engineBlocks: readonly FileMemoryBlock[];
}

export interface RestorePlan extends CommonPlan {
  readonly direction: 'restore';
  readonly reader: Reader;
}

export type Plan = SavePlan | RestorePlan;
