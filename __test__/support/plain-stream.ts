import { deflateSync } from 'node:zlib';

import { encodeCommand, SWITCHOVER_START } from '../../ts/stream/command.ts';
import type { RamBlock } from '../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../ts/stream/section.ts';
import { encodePageHeader, encodeZeroPage } from '../../ts/stream/write/encode-pages.ts';
import { encodePlainRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';
import { encodeXbzrle } from './xbzrle-encoder.ts';
import { PAGE } from './synthetic.ts';

/** A page record: the bytes that the page holds afterwards, and the kind of the record. */
export interface PageWrite {
  readonly block: string;
  readonly page: number;
  readonly bytes: Uint8Array;
  readonly kind: 'page' | 'zero' | 'xbzrle' | 'compressed';
}

export interface PlainStreamParts {
  readonly blocks: readonly RamBlock[];
  /** Records by RAM section; the last section is END. */
  readonly rounds: readonly (readonly PageWrite[])[];
  readonly capabilities?: readonly string[];
  /** True for a stream with a device that is marked early and one that is not. @default true */
  readonly devices?: boolean;
}

const EARLY = { sectionId: 6, idstr: 'early-device', instanceId: 0, versionId: 1 };
const DEVICE = { sectionId: 7, idstr: 'test-device', instanceId: 0, versionId: 1 };
/** The body of the early device. It looks like a footer of the device's own. */
export const EARLY_BYTES: Uint8Array = Uint8Array.of(0x7e, 0, 0, 0, 6, 1, 2, 3);
export const DEVICE_BYTES: Uint8Array = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

/** A plain stream as QEMU writes it, with every kind of record, and the memory at its end. */
export function plainStream({ blocks, rounds, capabilities = [], devices = true }: PlainStreamParts): {
  readonly bytes: Buffer;
  readonly memory: ReadonlyMap<string, Buffer>;
} {
  const memory = new Map(blocks.map(({ id, length }) => [id, Buffer.alloc(length)]));
  const parts: Uint8Array[] = [
    encodePlainRamStart({ configuration: { machine: 'pc-q35-10.0', capabilities }, blocks }),
  ];
  if (devices) parts.push(encodeSectionHeader('full', EARLY), EARLY_BYTES, encodeFooter(6));
  let last: string | undefined;
  for (const [index, round] of rounds.entries()) {
    const isLast = index === rounds.length - 1;
    if (isLast) parts.push(encodeCommand(SWITCHOVER_START));
    parts.push(encodeSectionContinuation(isLast ? 'end' : 'part', 1));
    for (const write of round) {
      const bytes = memory.get(write.block)?.subarray(write.page * PAGE, (write.page + 1) * PAGE);
      if (bytes === undefined) throw new Error(`no block ${write.block}`);
      parts.push(...recordOf(write, bytes, write.block === last));
      bytes.set(write.kind === 'zero' ? new Uint8Array(PAGE) : write.bytes);
      last = write.block;
    }
    parts.push(encodeRamEos());
  }
  if (devices) parts.push(encodeSectionHeader('full', DEVICE), DEVICE_BYTES, encodeFooter(7));
  parts.push(encodeEof(), encodeVmdescription(Buffer.from(JSON.stringify(description(devices)))));
  return { bytes: Buffer.concat(parts), memory };
}

function recordOf(
  { block, page, bytes, kind }: PageWrite,
  before: Uint8Array,
  sameBlock: boolean,
): readonly Uint8Array[] {
  const offset = page * PAGE;
  if (kind === 'zero') return [encodeZeroPage(block, offset, { sameBlock })];
  const head = encodePageHeader(block, offset, { sameBlock });
  if (kind === 'page') return [head, bytes];
  // QEMU alone writes these kinds, so the PAGE flag makes way for theirs by hand.
  const view = new DataView(head.buffer, head.byteOffset);
  if (kind === 'compressed') {
    view.setUint32(4, view.getUint32(4) - 0x08 + 0x100);
    const data = deflateSync(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    return [head, length, data];
  }
  view.setUint32(4, view.getUint32(4) - 0x08 + 0x40);
  const delta = encodeXbzrle(before, bytes);
  if (delta.length > PAGE) throw new Error('the pages differ too much for a delta');
  return [head, Uint8Array.of(1, delta.length >> 8, delta.length & 0xff), delta];
}

function description(devices: boolean): object {
  return { page_size: PAGE, devices: devices ? [describe(EARLY.idstr), describe(DEVICE.idstr)] : [] };
}

function describe(name: string): object {
  return {
    name,
    instance_id: 0,
    vmsd_name: name,
    version: 1,
    fields: [{ name: 'value', type: 'uint64', size: 8 }],
  };
}
