import { bitmapBytes } from '../ts/stream/page-area.ts';
import {
  assembleMappedRam,
  readStreamIndex,
  walkStream,
  type IndexedSection,
  type MappedRamIndex,
  type PlainPage,
  type RandomAccessReader,
  type StreamIndex,
  type StreamPiece,
  type VmdescriptionDevice,
} from '../ts/stream/index.ts';
import { assemblePlain } from '../__test__/support/assemble-plain.ts';
import type { Extent, SparseInput } from './sparse-input.ts';

/** Decides by a device's name whether the device stays. */
export type KeepDevice = (name: string) => boolean;

/** Bytes that body and description of a device may have in a reduced stream. */
const MAX_DEVICE = 1200;
const MAX_DEVICES = 5;
const MAX_PAGES_OF_A_KIND = 2;

/**
 * Reduces a stream by most of the parts that its readers do not look at or have seen already: the data of pages, all
 * but a few page records, all but a few devices. The remaining parts are QEMU's own.
 * @param keep the devices that stay, whatever their size. Default some small ones
 */
export async function reduceStream(reader: RandomAccessReader, keep?: KeepDevice): Promise<SparseInput> {
  const index = await readStreamIndex(reader);
  const { ram, vmdescription, configuration } = index;
  if (!index.complete || ram === undefined || vmdescription?.json === undefined)
    throw new Error('not a whole stream', { cause: index.problem });
  const { sections, devices } = fewDevices(index, vmdescription.json.devices, keep);
  const json = new TextEncoder().encode(JSON.stringify({ ...vmdescription.json, devices }));
  const state = { ...index, sections };
  const extents: Extent[] = [];
  if (ram.form === 'plain') {
    const pages = await fewPages(reader);
    const { pieces, endOffset } = assemblePlain({
      state,
      configuration,
      blocks: ram.blocks,
      vmdescription: json,
      pages,
    });
    for (const piece of pieces) extents.push(await toExtent(reader, piece));
    return { size: endOffset, extents };
  }
  const { layout, pieces, endOffset } = assembleMappedRam({
    state,
    configuration,
    blocks: ram.blocks,
    vmdescription: json,
  });
  for (const [place, { area }] of layout.blocks.entries()) {
    extents.push({ offset: area.bitmapOffset, bytes: await bitmapOf(reader, ram, place) });
  }
  for (const piece of pieces) extents.push(await toExtent(reader, piece));
  return { size: endOffset, extents: extents.toSorted((left, right) => left.offset - right.offset) };
}

/** Reads a bitmap up to the last set bit: a hole is as good as zeros. */
async function bitmapOf(reader: RandomAccessReader, ram: MappedRamIndex, place: number): Promise<Uint8Array> {
  const block = ram.blocks[place];
  if (block === undefined) throw new Error('no such block');
  const bitmap = await reader.read(block.area.bitmapOffset, bitmapBytes(block.area));
  return bitmap.slice(0, bitmap.findLastIndex((byte) => byte !== 0) + 1);
}

function fewDevices(
  index: StreamIndex,
  devices: readonly VmdescriptionDevice[],
  keep: KeepDevice | undefined,
): { readonly sections: readonly IndexedSection[]; readonly devices: readonly VmdescriptionDevice[] } {
  const sections: IndexedSection[] = [];
  const described: VmdescriptionDevice[] = [];
  const remaining = [...devices];
  for (const section of index.sections) {
    if (section.kind !== 'full') {
      sections.push(section);
      continue;
    }
    const device = remaining.shift();
    if (device === undefined) throw new Error('fewer devices than sections');
    const size = section.length + JSON.stringify(device).length;
    const stays = keep?.(device.name) ?? (size <= MAX_DEVICE && described.length < MAX_DEVICES);
    // The last device tells whether the guest runs.
    if (remaining.length > 0 && !stays && !section.early) continue;
    sections.push(section);
    described.push(device);
  }
  return { sections, devices: described };
}

async function fewPages(reader: RandomAccessReader): Promise<readonly PlainPage[]> {
  const counts = new Map<string, number>();
  const pages: PlainPage[] = [];
  for await (const record of walkStream(reader)) {
    if (record.type !== 'ram-page') continue;
    const { kind, block, blockOffset: offset, dataOffset } = record;
    const key = kind === 'zero' ? `${kind} ${block}` : kind;
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    if (count < MAX_PAGES_OF_A_KIND)
      pages.push({ block, offset, source: kind === 'zero' ? kind : dataOffset });
  }
  return pages;
}

async function toExtent(reader: RandomAccessReader, piece: StreamPiece): Promise<Extent> {
  const bytes = piece.bytes ?? (await reader.read(piece.source.offset, piece.source.length));
  return { offset: piece.offset, bytes };
}
