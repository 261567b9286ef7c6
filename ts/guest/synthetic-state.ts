import { RAM_SECTION_ID } from '../stream/constants.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../stream/section.ts';
import { encodePlainRamStart, encodeRamEos } from '../stream/write/encode-ram.ts';

const DEVICE = { sectionId: RAM_SECTION_ID + 1, idstr: 'mapped-ram-demo', instanceId: 0, versionId: 1 };
const STATE = Buffer.from('the state of a device that does not exist');

/** Makes a device-state stream as QEMU writes it when the guest's memory is shared: one block, one device. */
export function syntheticState(block: string, length: number): Uint8Array {
  const device = {
    name: DEVICE.idstr,
    instance_id: DEVICE.instanceId,
    vmsd_name: DEVICE.idstr,
    version: DEVICE.versionId,
    fields: [{ name: 'text', type: 'buffer', size: STATE.length }],
  };
  const description = { page_size: 4096, devices: [device] };
  return Buffer.concat([
    encodePlainRamStart({
      configuration: { machine: 'none', capabilities: ['x-ignore-shared'] },
      blocks: [{ id: block, length }],
    }),
    encodeSectionContinuation('end', RAM_SECTION_ID),
    encodeRamEos(),
    encodeSectionHeader('full', DEVICE),
    STATE,
    encodeFooter(DEVICE.sectionId),
    encodeEof(),
    encodeVmdescription(Buffer.from(JSON.stringify(description))),
  ]);
}
