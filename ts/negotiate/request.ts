import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';

/**
 * What the caller wants of a feature. `on` and `off` are kept, or refused with the rule that forbids them; `auto`
 * takes what is best and possible, and the plan says why.
 */
export type Switch = 'auto' | 'on' | 'off';

/** Who writes the pages of a save: QEMU, or our engine out of the guest's shared memory files. */
export type Writer = 'qemu' | 'engine';

/**
 * Who reads the pages of a restore: QEMU, our engine, or nobody, because they are mapped. QEMU reads the device state in
 * any case; with `engine` and `nobody` that is all it reads.
 */
export type Reader = 'qemu' | 'engine' | 'nobody';

/** How QEMU finds zero pages while saving; see docs/format.md §4.1. */
export type ZeroPageDetection = 'none' | 'legacy' | 'multifd';

/** The parts that requests of both directions have. */
export interface PlanRequest {
  /**
   * A `file:` migration URI, a path or a `file:` URL; `/dev/fdset/N` for a set the caller has filled; or any other
   * migration URI or address, which only `mappedRam: 'off'` allows. With the readers `engine` and `nobody` it is the
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
  /** @default 'qemu' */
  readonly reader?: Reader | undefined;
  /**
   * What is in the file: a `Snapshot`, or where one is. Needed for `/dev/fdset/N`, which cannot be looked into from here; a path
   * is opened and read when this is missing. A damaged file would kill QEMU, so nothing is loaded unseen.
   */
  readonly snapshot?: SnapshotSource | { readonly index: StreamIndex } | undefined;
}

export type NegotiationRequest = SaveRequest | RestoreRequest;

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
