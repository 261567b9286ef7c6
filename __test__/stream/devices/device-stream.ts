import { RAM_SECTION_ID } from '../../../ts/stream/constants.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../../ts/stream/section.ts';
import { encodePlainRamStart, encodeRamEos } from '../../../ts/stream/write/encode-ram.ts';

export interface DeviceSection {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly body: Uint8Array;
  /** `vmsd_name`, `version`, `fields`, `subsections`; undefined when the vmdescription does not know the device. */
  readonly description: object | undefined;
}

export interface DeviceStream {
  readonly bytes: Buffer;
  /** The offset of each body. */
  readonly bodies: readonly number[];
  /** The offset of the vmdescription's type byte. */
  readonly descriptionOffset: number;
}

/** A plain stream with one small block of RAM and these devices. */
export function deviceStream(sections: readonly DeviceSection[]): DeviceStream {
  const parts: Uint8Array[] = [
    encodePlainRamStart({
      configuration: { machine: 'pc-q35-10.0', capabilities: [] },
      blocks: [{ id: 'pc.ram', length: 4096 }],
    }),
    encodeSectionContinuation('end', RAM_SECTION_ID),
    encodeRamEos(),
  ];
  const bodies: number[] = [];
  for (const [index, { name, instanceId, version, body }] of sections.entries()) {
    const sectionId = index + 10;
    parts.push(encodeSectionHeader('full', { sectionId, idstr: name, instanceId, versionId: version }));
    bodies.push(Buffer.concat(parts).length);
    parts.push(body, encodeFooter(sectionId));
  }
  parts.push(encodeEof());
  const descriptionOffset = Buffer.concat(parts).length;
  const devices = sections.flatMap(({ name, instanceId, description }) =>
    description === undefined ? [] : [{ name, instance_id: instanceId, ...description }],
  );
  const json = JSON.stringify({ page_size: 4096, devices });
  return {
    bytes: Buffer.concat([...parts, encodeVmdescription(Buffer.from(json))]),
    bodies,
    descriptionOffset,
  };
}
