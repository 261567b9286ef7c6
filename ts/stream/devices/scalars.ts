import type { DeviceValue } from './device-state.ts';

type Scalar = (view: DataView, offset: number) => DeviceValue | undefined;

interface Kind {
  readonly size: number;
  readonly read: Scalar;
}

const i8: Kind = { size: 1, read: (view, offset) => view.getInt8(offset) };
const u8: Kind = { size: 1, read: (view, offset) => view.getUint8(offset) };
const i16: Kind = { size: 2, read: (view, offset) => view.getInt16(offset) };
const u16: Kind = { size: 2, read: (view, offset) => view.getUint16(offset) };
const i32: Kind = { size: 4, read: (view, offset) => view.getInt32(offset) };
const u32: Kind = { size: 4, read: (view, offset) => view.getUint32(offset) };
const i64: Kind = { size: 8, read: (view, offset) => view.getBigInt64(offset) };
const u64: Kind = { size: 8, read: (view, offset) => view.getBigUint64(offset) };

/** A byte that is neither 0 nor 1 gives undefined: as a boolean it would be lost. */
const bool: Kind = {
  size: 1,
  read: (view, offset) => {
    const byte = view.getUint8(offset);
    return byte > 1 ? undefined : byte === 1;
  },
};

/** QEMU writes '0' for an element that it has none for. */
const nullptr: Kind = {
  size: 1,
  read: (view, offset) => (view.getUint8(offset) === 0x30 ? null : undefined),
};

/**
 * Types that hold one value, big-endian (docs/format.md §1.6). `le` is "less or equal": the destination checks that.
 */
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['int8', i8],
  ['int16', i16],
  ['int32', i32],
  ['int32 equal', i32],
  ['int32 le', i32],
  ['int64', i64],
  ['uint8', u8],
  ['uint8 equal', u8],
  ['uint16', u16],
  ['uint16 equal', u16],
  ['uint32', u32],
  ['uint32 equal', u32],
  ['uint64', u64],
  // QEMU calls its unsigned type so.
  ['int64 equal', u64],
  ['uint64 equal', u64],
  ['bool', bool],
  ['nullptr', nullptr],
  ['timer', i64],
  ['cpsr', u32],
  ['fpscr', u32],
  ['powered_off', bool],
]);

/**
 * Reads the one value at `offset`, which the view must hold. Undefined when the type holds no single value or is
 * unknown, when it has another size than usual, or when the bytes are none of its values.
 */
export function readScalar(
  type: string,
  size: number,
  view: DataView,
  offset: number,
): DeviceValue | undefined {
  const kind = KINDS.get(type);
  return kind?.size === size ? kind.read(view, offset) : undefined;
}
