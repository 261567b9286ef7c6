import type { DeviceField, DeviceStruct, DeviceValue } from '../../../ts/stream/devices/device-state.ts';

/** The bytes of a decoded device, made again from its values alone: a value that decoding lost would be missing. */
export function reencode({ fields, subsections }: DeviceStruct): Buffer {
  return Buffer.concat([
    ...fields.map((field) => reencodeField(field)),
    ...subsections.map((subsection) => {
      const name = Buffer.from(subsection.vmsdName);
      const version = Buffer.alloc(4);
      version.writeUInt32BE(subsection.version);
      return Buffer.concat([Buffer.from([5, name.length]), name, version, reencode(subsection)]);
    }),
  ]);
}

function reencodeField({ value, size }: DeviceField): Buffer {
  if (!Array.isArray(value)) return reencodeValue(value, size);
  // The elements of an array of integers have one size; other elements know theirs.
  const whole = value.map((element) => reencodeValue(element, size / value.length));
  return Buffer.concat(whole);
}

function reencodeValue(value: DeviceValue, size: number): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === 'boolean') return Buffer.from([value ? 1 : 0]);
  if (value === null) return Buffer.from('0');
  if (typeof value === 'number' || typeof value === 'bigint') {
    const digits = BigInt.asUintN(size * 8, BigInt(value)).toString(16);
    return Buffer.from(digits.padStart(size * 2, '0'), 'hex');
  }
  if ('fields' in value) return reencode(value);
  throw new Error('QEMU has no arrays of arrays');
}
