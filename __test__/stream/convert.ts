import { bitmapBytes } from '../../ts/stream/page-area.ts';
import { open, type FileHandle } from 'node:fs/promises';

import {
  assembleMappedRam,
  assemblePlainBatches,
  readStreamIndex,
  readVmdescriptionFor,
  walkStream,
  type MappedRamIndex,
  type PlainPage,
  type PlainRamIndex,
  type RandomAccessReader,
  type StreamIndex,
  type StreamPiece,
} from '../../ts/stream/index.ts';
import { OpenFile } from '../support/open-reader.ts';

/** Converts a plain save as `pack` would, record by record and without hurry. */
export async function toMappedRam(from: string, to: string): Promise<void> {
  await using source = await OpenFile.open(from);
  const state = await readStreamIndex(source);
  const configuration = { ...state.configuration, capabilities: ['mapped-ram'] };
  const { blocks } = ramOf(state, 'plain');
  const vmdescription = await readVmdescriptionFor(source, state, configuration);
  const { layout, pieces, endOffset } = assembleMappedRam({ state, configuration, blocks, vmdescription });
  await using target = await open(to, 'w');
  await target.truncate(endOffset);
  const places = new Map(
    layout.blocks.map((block) => [block.id, { ...block, bitmap: new Uint8Array(bitmapBytes(block.area)) }]),
  );
  for await (const record of walkStream(source)) {
    if (record.type !== 'ram-page') continue;
    const place = places.get(record.block);
    if (place === undefined) throw new Error(`no block ${record.block}`);
    const page = record.blockOffset / layout.targetPageSize;
    const bit = 1 << (page % 8);
    const byte = place.bitmap[page >> 3] ?? 0;
    // Later records win.
    place.bitmap[page >> 3] = record.kind === 'page' ? byte | bit : byte & ~bit;
    if (record.kind !== 'page') continue;
    const bytes = await source.read(record.dataOffset, record.dataLength);
    await target.write(bytes, 0, bytes.length, place.area.pagesOffset + record.blockOffset);
  }
  for (const {
    bitmap,
    area: { bitmapOffset },
  } of places.values())
    await target.write(bitmap, 0, bitmap.length, bitmapOffset);
  await writeAll(target, source, pieces);
}

/** Converts a mapped-ram file to a plain stream. */
export async function toPlain(from: string, to: string): Promise<void> {
  await using source = await OpenFile.open(from);
  const state = await readStreamIndex(source);
  const configuration = { ...state.configuration, capabilities: [] };
  const { blocks } = ramOf(state, 'mapped-ram');
  const vmdescription = await readVmdescriptionFor(source, state, configuration);
  const pages = allPages(source, ramOf(state, 'mapped-ram'));
  await using target = await open(to, 'w');
  const lengths = blocks.map(({ id, length }) => ({ id, length }));
  for await (const pieces of assemblePlainBatches({
    state,
    configuration,
    blocks: lengths,
    vmdescription,
    pages,
  })) {
    await writeAll(target, source, pieces);
  }
}

async function* allPages(
  source: RandomAccessReader,
  ram: MappedRamIndex,
): AsyncGenerator<PlainPage, void, void> {
  for (const { id: block, area } of ram.blocks) {
    const { bitmapOffset, pagesOffset, pageSize } = area;
    const bitmap = await source.read(bitmapOffset, bitmapBytes(area));
    for (let page = 0; page < area.length / pageSize; page += 1) {
      const isSet = ((bitmap[page >> 3] ?? 0) & (1 << (page % 8))) !== 0;
      const offset = page * pageSize;
      yield { block, offset, source: isSet ? pagesOffset + offset : 'zero' };
    }
  }
}

function ramOf(index: StreamIndex, form: 'plain'): PlainRamIndex;
function ramOf(index: StreamIndex, form: 'mapped-ram'): MappedRamIndex;
function ramOf(index: StreamIndex, form: 'plain' | 'mapped-ram'): PlainRamIndex | MappedRamIndex {
  if (index.ram?.form !== form) throw new Error(`not ${form}`);
  return index.ram;
}

async function writeAll(
  target: FileHandle,
  source: RandomAccessReader,
  pieces: readonly StreamPiece[],
): Promise<void> {
  for (const piece of pieces) {
    const bytes = piece.bytes ?? (await source.read(piece.source.offset, piece.source.length));
    await target.write(bytes, 0, bytes.length, piece.offset);
  }
}
