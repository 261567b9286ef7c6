import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';

/**
 * The caller's wish for a feature. `on` and `off` are kept, or refused with the rule that forbids them. `auto` takes
 * the best possible value, and the plan says why.
 */
export type Switch = (typeof SWITCHES)[number];
export const SWITCHES = ['auto', 'on', 'off'] as const;

/** The writer of a save's pages: QEMU, or this package's engine out of the guest's shared memory files. */
export type Writer = (typeof WRITERS)[number];
export const WRITERS = ['qemu', 'engine'] as const;

/** The form of a saved snapshot: one that stands alone, or one that stands on a base. */
export type SaveForm = (typeof SAVE_FORMS)[number];
export const SAVE_FORMS = ['whole', 'delta'] as const;

/**
 * The guest's state after its save: it runs (`cont`); it stays stopped (`stop`); or QEMU ends (`quit`).
 */
export type AfterSave = (typeof AFTER_SAVE)[number];
export const AFTER_SAVE = ['cont', 'stop', 'quit'] as const;

/**
 * The reader of a restore's pages: QEMU, this package's engine, or nobody, because the pages are mapped. QEMU reads the
 * device state in any case; with `engine` and `nobody` it reads nothing else.
 */
export type Reader = (typeof READERS)[number];
export const READERS = ['qemu', 'engine', 'nobody'] as const;

/** QEMU's way to find zero pages while saving; see docs/format.md §4.1. */
export type ZeroPageDetection = (typeof ZERO_PAGE_DETECTIONS)[number];
export const ZERO_PAGE_DETECTIONS = ['none', 'legacy', 'multifd'] as const;

/**
 * Whether the guest goes on while QEMU writes its memory, and stands still only at the end. `true` is kept, or refused
 * with the rule that forbids it.
 */
export type Live = boolean | 'auto';
export const LIVE = [true, false, 'auto'] as const;

/** The parts that requests of both directions have. */
export interface PlanRequest {
  /**
   * A `file:` migration URI, a path or a `file:` URL; `/dev/fdset/N` for a set that the caller has filled; or any other
   * migration URI or address, which only `mappedRam: 'off'` allows. With the readers `engine` and `nobody`, the target
   * is the address that QEMU's device state comes from.
   */
  readonly target: string | URL | MigrationAddress;
  /** The mapped-ram format. `auto`: on where QEMU can; else a plain stream in the same file. @default 'auto' */
  readonly mappedRam?: Switch | undefined;
  /** Several channels of QEMU at once. @default 'auto' */
  readonly multifd?: Switch | undefined;
  /**
   * Channels that work at once: 1 to 255 of QEMU's, 1 to 64 of the engine's. More than one asks for multifd when QEMU
   * writes or reads. @default 'auto': as many as there are cores, from 2 to 4; the engine chooses its own
   */
  readonly channels?: number | 'auto' | undefined;
  /** O_DIRECT for the pages. @default 'auto' */
  readonly directIo?: Switch | undefined;
  /** QEMU leaves out memory in shared named files (docs/format.md §10). @default 'auto' */
  readonly xIgnoreShared?: Switch | undefined;
  /** Opens the file here and hands QEMU the descriptors, not the path. @default 'auto': on where that is possible */
  readonly fdset?: Switch | undefined;
}

export interface SaveRequest extends PlanRequest {
  readonly direction: 'save';
  /**
   * The guest's state after the save. `cont` lets a guest run that did not run before, too.
   *
   * `stop` gives the disks up, so that another QEMU can have them, where a migration saves the guest. Asked for with
   * `writer: 'auto'`, without a base and for a guest with disks that it may write to, it makes the save one by migration.
   * QEMU says `postmigrate` then. After a save that runs no migration QEMU says what it said before, `paused` of a guest
   * that ran, and keeps the disks locked until it ends. @default the state before: `cont` if the guest ran, else `stop`
   */
  readonly after?: AfterSave | undefined;
  /**
   * @default 'auto': the engine where it can take all large blocks, out of shared files or out of QEMU's process; else
   *   QEMU. Under KVM QEMU also writes a guest of which no copy can be taken: the guest goes on meanwhile (`live`)
   */
  readonly writer?: Writer | 'auto' | undefined;
  /**
   * Makes the save incremental: only what differs from a base is written. The base is the snapshot that the guest is a
   * clone of, the very file that QEMU has mapped. `auto` takes it, whichever that is; a path has to be that file, and is
   * refused otherwise. @default 'none': all of the memory is written
   */
  readonly base?: string | undefined;
  /**
   * The form of an incremental save. `whole`: a complete snapshot that shares the blocks of the base's file, where the
   * filesystem can (XFS, Btrfs, bcachefs). `delta`: the changed pages only, which need the base beside them (docs/format.md
   * §13). @default 'auto': `whole` where that is possible, else `delta`
   */
  readonly form?: SaveForm | 'auto' | undefined;
  /**
   * The most bytes of this process's memory that a copy of the guest's pages may take, where the engine takes them out of
   * QEMU's process. Pages for which there is no room are written while the guest stands still. 0 takes no copy.
   * @default an eighth of the memory that the host, or the control group of this process, has to spare
   */
  readonly maxCopyMemory?: number | undefined;
  /**
   * True for a save with options that only the engine has (a seal, its ways of input and output): with writer `auto`, such a
   * save is not left to QEMU for the sake of a short pause. @default false
   */
  readonly wantsEngine?: boolean | undefined;
  /** QEMU's way to find zero pages; `none` stores zero pages too. @default 'auto': in the multifd threads */
  readonly zeroPageDetection?: ZeroPageDetection | 'auto' | undefined;
  /** Bytes per second of QEMU's writing, 0 for no limit. @default 0 */
  readonly maxBandwidth?: number | undefined;
  /**
   * `true` lets the guest go on while QEMU writes, again and again what the guest has changed. Only QEMU can do that.
   * @default 'auto': under KVM, where QEMU writes
   */
  readonly live?: Live | undefined;
  /**
   * Milliseconds for which a live save may stop the guest at its end, as QEMU estimates it: 1 to 2000000. QEMU stops the
   * guest as soon as the rest can be written in this time. @default 100
   */
  readonly downtimeLimitMs?: number | undefined;
}

export interface RestoreRequest extends PlanRequest {
  readonly direction: 'restore';
  /** @default 'qemu' */
  readonly reader?: Reader | undefined;
  /**
   * The content of the file: a `Snapshot`, or the place of one. `/dev/fdset/N` needs it, because this process cannot
   * look into a set. When it is missing, a path is opened and read. A damaged file would kill QEMU, so QEMU loads
   * nothing that was not looked into.
   */
  readonly snapshot?: SnapshotSource | { readonly index: StreamIndex } | undefined;
}

export type NegotiationRequest = SaveRequest | RestoreRequest;

/** The place that the bytes go to or come from, checked. */
export interface PlanTarget {
  /**
   * The address, checked and safe to hand to QEMU. With an fdset of ours, the set's filename is to replace the one in
   * it.
   */
  readonly address: MigrationAddress;
  /** The file, when it is one that this process can open by name. */
  readonly path: string | undefined;
  /** The number of the caller's set, for `/dev/fdset/N`. */
  readonly fdset: number | undefined;
  /** Offset of the stream's start in the file, in bytes; 0 for other transports. */
  readonly offset: number;
}
