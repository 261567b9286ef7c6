import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import type { QmpArgument } from '../qmp/json.ts';
import type { QmpVersion } from '../qmp/message.ts';
import type { RuleId } from './rule.ts';

/**
 * What the caller wants of a feature. `on` and `off` are kept, or refused with the rule that forbids them; `auto`
 * takes what is best and possible, and the plan says why.
 */
export type Switch = 'auto' | 'on' | 'off';

/** Who writes the pages of a save: QEMU, or our engine out of the guest's shared memory files. */
export type Writer = 'qemu' | 'engine';

/** Who reads the pages of a restore: QEMU (`eager`), our engine beforehand (`preload`), nobody (`instant`). */
export type RestoreMode = 'eager' | 'preload' | 'instant';

/** How QEMU finds zero pages while saving; see docs/format.md §4.1. */
export type ZeroPageDetection = 'none' | 'legacy' | 'multifd';

interface PlanRequest {
  /**
   * A `file:` migration URI, a path or a `file:` URL; `/dev/fdset/N` for a set the caller has filled; or any other
   * migration URI or address, which only `mappedRam: 'off'` allows. With the modes `preload` and `instant` it is the
   * address that QEMU's device state comes from.
   */
  readonly target: string | URL | MigrationAddress;
  /** The mapped-ram format. `auto`: on where QEMU can; else a plain stream in the same file. @default 'auto' */
  readonly mappedRam?: Switch | undefined;
  /** Several channels of QEMU at once. @default 'auto' */
  readonly multifd?: Switch | undefined;
  /**
   * Channels that work at once: 1 to 255 of QEMU's, 1 to 64 of the engine's. More than one asks for multifd when
   * QEMU writes or reads. @default 'auto': as many as there are cores, from 2 to 4; the engine chooses its own
   */
  readonly channels?: number | 'auto' | undefined;
  /** O_DIRECT for the pages. @default 'auto' */
  readonly directIo?: Switch | undefined;
  /** QEMU leaves memory out that lives in shared named files (docs/format.md §10). @default 'auto' */
  readonly xIgnoreShared?: Switch | undefined;
  /** Open the file here and hand QEMU the descriptors, instead of the path. @default 'auto': on where that is possible */
  readonly fdset?: Switch | undefined;
}

export interface SaveRequest extends PlanRequest {
  readonly direction: 'save';
  /** @default 'auto': the engine where all large blocks allow it, else QEMU */
  readonly writer?: Writer | 'auto' | undefined;
  /** `none` stores zero pages too. @default 'auto': in the multifd threads */
  readonly zeroPageDetection?: ZeroPageDetection | 'auto' | undefined;
  /** Bytes per second of QEMU's writing, 0 for no limit. @default 0 */
  readonly maxBandwidth?: number | undefined;
}

export interface RestoreRequest extends PlanRequest {
  readonly direction: 'restore';
  /** @default 'eager' */
  readonly mode?: RestoreMode | undefined;
  /**
   * What is in the file: a `Snapshot`, or where one is. Needed for `/dev/fdset/N`, which cannot be looked into from here;
   * a path is opened and read when this is missing. A damaged file would kill QEMU, so nothing is loaded unseen.
   */
  readonly snapshot?: SnapshotSource | { readonly index: StreamIndex } | undefined;
}

export type NegotiationRequest = SaveRequest | RestoreRequest;

/** One part of a plan. */
export interface Decision<T> {
  readonly value: T;
  /** In words, for people: no capital letter at the beginning, no full stop at the end. */
  readonly why: string;
  /** The rule that decided against what was wanted, when one did. */
  readonly rule?: RuleId;
}

/** What the caller should know beyond the decisions: a setting found in QEMU that is put aside, a warning. */
export interface PlanNote {
  readonly rule: RuleId;
  readonly effect: 'override' | 'warn';
  readonly words: string;
}

/** Where the bytes go to or come from, checked. */
export interface PlanTarget {
  /** Checked, and safe to hand to QEMU; with an fdset of ours its filename is to be replaced by the set's. */
  readonly address: MigrationAddress;
  /** The file, when it is one that this process can open by name. */
  readonly path: string | undefined;
  /** The set of the caller's, for `/dev/fdset/N`. */
  readonly fdset: number | undefined;
  /** Where the stream starts in the file, in bytes. 0 for other transports. */
  readonly offset: number;
}

interface CommonPlan {
  readonly target: PlanTarget;
  /**
   * QEMU's capability mapped-ram. Off with writer `engine` and the modes `preload` and `instant`, where QEMU handles its
   * device state only, as a plain stream; the snapshot that the engine writes is a mapped-ram file all the same.
   */
  readonly mappedRam: Decision<boolean>;
  readonly multifd: Decision<boolean>;
  /** Channels that move the pages. Undefined: the engine's own choice. */
  readonly channels: Decision<number | undefined>;
  /** O_DIRECT for the pages, by QEMU or, in a save, by the engine. Off with `preload` and `instant`. */
  readonly directIo: Decision<boolean>;
  readonly xIgnoreShared: Decision<boolean>;
  /**
   * Whether to open the file here and hand QEMU descriptors (class FdSet); with `directIo` both a buffered and an
   * O_DIRECT one. With writer `engine`, `preload` and `instant`: whether QEMU's device state can go through a
   * descriptor.
   */
  readonly fdset: Decision<boolean>;
  /** What `applyPlan` sees to: every capability that matters to this plan, on or off. */
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** What `applyPlan` sees to: every parameter that matters to this plan. */
  readonly parameters: Readonly<Record<string, QmpArgument>>;
  readonly notes: readonly PlanNote[];
  readonly qemu: QemuFacts;
}

export interface SavePlan extends CommonPlan {
  readonly direction: 'save';
  readonly writer: Decision<Writer>;
  readonly zeroPageDetection: Decision<ZeroPageDetection>;
  /** What is at the target afterwards. */
  readonly format: 'mapped-ram' | 'stream';
  /**
   * Writer `engine`: the blocks that the engine writes, each with the file its memory is in. Every other block is
   * small and comes in QEMU's stream. Empty with writer `qemu`.
   */
  readonly engineBlocks: readonly FileMemoryBlock[];
}

export interface RestorePlan extends CommonPlan {
  readonly direction: 'restore';
  readonly mode: RestoreMode;
}

export type Plan = SavePlan | RestorePlan;

/** What a running QEMU can do and is doing, asked of it, never guessed from its version. */
export interface QemuFacts {
  readonly version: QmpVersion;
  readonly features: QemuFeatures;
  /** `running`, `paused`, `inmigrate`, `postmigrate`, …; query-status. */
  readonly runState: string;
  /** `none` before the first migration; query-migrate. */
  readonly migrationStatus: string;
  /** Why this guest cannot be migrated, in QEMU's words. */
  readonly blockedReasons: readonly string[];
  /** By name, as query-migrate-capabilities has them. A name that is missing does not exist in this QEMU. */
  readonly capabilities: ReadonlyMap<string, boolean>;
  /** By name, as query-migrate-parameters has them. */
  readonly parameters: ReadonlyMap<string, unknown>;
  /** Whether descriptors can be handed over on this connection: it is a unix socket. */
  readonly passesDescriptors: boolean;
  /** Every RAM block of the machine, largest first; empty when this QEMU does not tell. */
  readonly memory: readonly MemoryBlock[];
}

/** Found out by asking, never out of a version number. */
export interface QemuFeatures {
  /** Capability mapped-ram: QEMU 9.0 and later. */
  readonly mappedRam: boolean;
  /** Capability multifd. */
  readonly multifd: boolean;
  /** Capability x-ignore-shared. */
  readonly xIgnoreShared: boolean;
  /** Parameter direct-io. The same release, 9.1, brought O_DIRECT for fdsets and left bytes before `offset=` alone. */
  readonly directIo: boolean;
  /** Parameter zero-page-detection. */
  readonly zeroPageDetection: boolean;
  /** Commands add-fd, remove-fd and query-fdsets. */
  readonly fdsets: boolean;
  /** x-ignore-shared together with mapped-ram: QEMU 11.0 and later. */
  readonly mappedRamIgnoresShared: boolean;
}

/** A RAM block of a running machine. */
export interface MemoryBlock {
  /** As it is called in snapshots: `pc.ram`, `m0`, `/rom@etc/acpi/tables`, … */
  readonly id: string;
  /** Used length in bytes. */
  readonly length: number;
  /** What it may grow to, in bytes. */
  readonly maxLength: number;
  /** Of the host memory beneath, in bytes; more than 4096 with hugetlbfs. */
  readonly hostPageSize: number;
  /** The `-object memory-backend-…` it is made of; undefined for what devices bring along (video memory, firmware). */
  readonly backend: MemoryBackend | undefined;
  /** The file its memory is in, when QEMU shares it and it can be opened here. */
  readonly file: MemoryFile | undefined;
  /** Where its memory is, or why it cannot be reached without QEMU. */
  readonly why: string;
}

export interface FileMemoryBlock extends MemoryBlock {
  readonly file: MemoryFile;
}

export interface MemoryBackend {
  readonly id: string;
  /** `memory-backend-ram`, `memory-backend-file`, `memory-backend-memfd`, … */
  readonly type: string;
  readonly size: number;
  readonly share: boolean;
  /** `mem-path`, for memory-backend-file. */
  readonly path: string | undefined;
  /** `offset` in that file; 0 where there is none. */
  readonly offset: number;
}

export interface MemoryFile {
  readonly path: string;
  /** Where the block starts in the file, in bytes. */
  readonly offset: number;
  /**
   * Whether this file was seen in QEMU's memory map, where QEMU says that the block is. Otherwise the path may mean
   * another file here than to QEMU, and the engine does not write it.
   */
  readonly confirmed: boolean;
}
