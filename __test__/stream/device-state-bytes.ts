import { encodeFileHeader } from '../../ts/stream/configuration.ts';
import { encodeEof, encodeFooter, encodeSectionHeader } from '../../ts/stream/section.ts';

/** A section of device state alone. */
export interface StateSection {
  readonly sectionId: number;
  readonly idstr: string;
  /** @default 0 */
  readonly instanceId?: number;
  /** @default 1 */
  readonly versionId?: number;
  readonly body: Uint8Array;
}

/** Device state alone, as QEMU writes it. */
export function deviceStateBytes(sections: readonly StateSection[]): Buffer {
  return Buffer.concat([
    encodeFileHeader(),
    ...sections.map((section) => sectionBytes(section)),
    encodeEof(),
  ]);
}

export function sectionBytes({ body, instanceId = 0, versionId = 1, ...rest }: StateSection): Buffer {
  const header = encodeSectionHeader('full', { ...rest, instanceId, versionId });
  return Buffer.concat([header, body, encodeFooter(rest.sectionId)]);
}

/** The body of a section `globalstate`. */
export function globalStateBody(runState: string, asleep = false): Buffer {
  const body = Buffer.alloc(4 + 32 + 2 + 66);
  body.writeUInt32BE(runState.length + 1);
  body.write(runState, 4, 'latin1');
  body.writeUInt8(1, 36);
  body.writeUInt8(asleep ? 1 : 0, 37);
  return body;
}
