import assert from 'node:assert/strict';

import { MappedRamError } from '../../ts/errors.ts';
import { decodeX86Cpus } from '../../ts/stream/devices/decode-x86-cpus.ts';
import type { DeviceField, DeviceState } from '../../ts/stream/devices/device-state.ts';
import { flattenDevice } from '../../ts/stream/devices/flatten-device.ts';
import { readDevices } from '../../ts/stream/devices/read-devices.ts';
import { readStreamIndex } from '../../ts/stream/read/read-stream-index.ts';
import { INPUT_CODES, roughly, type FuzzTarget } from '../target.ts';

const MAX_BYTES = 2 ** 26;

/** Device state of whole streams, also of broken ones: every byte of a section is in a field or in the rest. */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: MAX_BYTES, bytesOfMemory: 4 * MAX_BYTES, milliseconds: 3000 },
  run: async (reader) => {
    const index = await readStreamIndex(reader);
    const states = await readDevices(reader, index);
    const { devices, undescribed, problems } = states;
    assert.ok(problems.every((problem) => INPUT_CODES.includes(problem.code)));
    for (const device of devices) assertDevice(device, reader.size);
    for (const { offset, size } of undescribed) assert.ok(offset + (size ?? 0) <= reader.size);
    if (index.problem === undefined && devices.some(({ problem }) => problem !== undefined))
      assert.ok(problems.length > 0);
    let cpus: string | number = 0;
    try {
      cpus = decodeX86Cpus(states).length;
    } catch (error) {
      if (!(error instanceof MappedRamError)) throw error;
      cpus = error.code;
    }
    const flat = devices.reduce((sum, device) => sum + flattenDevice(device).length, 0);
    return [
      index.problem?.code,
      ...[devices.length, undescribed.length, problems.length, flat].map(roughly),
      cpus,
    ].join(' ');
  },
};

function assertDevice({ offset, size, fields, subsections, rest, problem }: DeviceState, end: number): void {
  assert.ok(offset + size <= end);
  assert.ok(rest === undefined || problem !== undefined);
  const left = rest?.length ?? 0;
  const decoded = assertFields(fields, offset, offset + size - left);
  if (subsections.length === 0) assert.equal(decoded + left, size);
  else assert.ok(decoded + left < size);
}

/** Asserts that fields follow each other; returns the sum of their sizes. */
function assertFields(fields: readonly DeviceField[], start: number, end: number): number {
  let position = start;
  for (const { offset, size, value } of fields) {
    assert.equal(offset, position);
    position += size;
    if (value instanceof Uint8Array) assert.ok(value.length <= size);
  }
  assert.ok(position <= end);
  return position - start;
}
