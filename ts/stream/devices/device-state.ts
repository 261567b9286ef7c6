import type { MappedRamError } from '../../errors.ts';

/**
 * The value of a field. The field's type decides on the form, never its size:
 *
 * - integers of up to 32 bits are numbers, those of 64 bits are bigints
 * - `bool` is a boolean, `nullptr` (an element that QEMU had none for) is null
 * - structs are structs, arrays are arrays; an array of `uint8` is bytes
 * - everything else (`buffer`, `unused_buffer`, `pci config`, `virtio`, types that are unknown) is bytes, as the stream
 *   has them. So is a field whose description does not fit its bytes, and a bool that is neither 0 nor 1.
 */
export type DeviceValue =
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | DeviceStruct
  | readonly DeviceValue[];

/** One field of a device, with QEMU's words for name and type. */
export interface DeviceField {
  readonly name: string;
  readonly type: string;
  /** The field's absolute offset in the file. */
  readonly offset: number;
  /** Size in bytes; an array's size covers all of its elements. */
  readonly size: number;
  readonly value: DeviceValue;
}

/** The contents of one VMStateDescription of QEMU: a device, a struct in it, or a subsection. */
export interface DeviceStruct {
  readonly vmsdName: string;
  readonly version: number;
  readonly fields: readonly DeviceField[];
  /** The subsections that were written; QEMU leaves them out when they would say nothing. */
  readonly subsections: readonly DeviceStruct[];
}

/**
 * The state of one device: a FULL section of the stream (docs/format.md §1.5). Offsets are absolute, sizes in bytes.
 */
export interface DeviceState extends DeviceStruct {
  /** The section's name: `cpu`, `0000:00:02.0/virtio-net`. The name is unique only together with the instance. */
  readonly name: string;
  readonly instanceId: number;
  /** Offset of the section's body. */
  readonly offset: number;
  readonly size: number;
  /** True for a device that is restored before the guest's memory. */
  readonly early: boolean;
  /**
   * The end of the body, from the first byte on that its description does not fit. Undefined when all of it is decoded.
   */
  readonly rest: Uint8Array | undefined;
  /** The first thing that did not fit. */
  readonly problem: MappedRamError | undefined;
}

/** The device state of a snapshot. */
export interface DeviceStates {
  /** The devices in file order. */
  readonly devices: readonly DeviceState[];
  /**
   * Sections that are not devices, and sections that nothing describes, in file order, with all that is known of them.
   */
  readonly undescribed: readonly UndescribedSection[];
  /** Everything that is missing or does not fit, in words and in file order; empty when every byte is accounted for. */
  readonly problems: readonly MappedRamError[];
}

/** A section of device state whose body nothing describes. */
export interface UndescribedSection {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  /** Offset of the section's body. */
  readonly offset: number;
  /** Size of the body; undefined when its end cannot be told. */
  readonly size: number | undefined;
}
