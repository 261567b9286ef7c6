import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { StreamPiece } from '../stream/write/pieces.ts';
import { assemblePlainFrame } from '../stream/write/assemble.ts';
import { assertHasPages } from '../pages/blocks.ts';
import { PlainPageEncoder } from '../stream/write/plain-page-encoder.ts';
import type { Converted } from './rewrite.ts';
import type { ConvertOptions } from './options.ts';
import { recordedAs } from './recorded-as.ts';
import { plainConfiguration } from '../stream/write/configuration-forms.ts';
import { MemoryProgress } from '../engine/memory-progress.ts';
import { readPieces } from '../io/read-pieces.ts';
import { pageWindows } from '../pages/page-windows.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { StreamSink } from '../io/stream-sink.ts';
import { zeroTest } from '../pages/page-bits.ts';

/** Size of a write in bytes, roughly. */
const CHUNK = 1 << 20;

/**
 * Writes a mapped-ram file as a plain stream that any QEMU loads without capabilities. Every page has a record, zero
 * pages too, because the destination's memory need not be empty.
 * @param before gives the bytes that stand before the stream
 * @throws {MappedRamError} as `Snapshot.completeRam`, and ERR_MAPPED_RAM_UNSUPPORTED for a block without its pages
 */
export async function convertToStream(
  snapshot: Snapshot,
  sink: StreamSink,
  options: ConvertOptions,
  before: (runState: string | undefined) => Promise<Uint8Array | undefined> = async () => undefined,
): Promise<Omit<Converted, 'endOffset'>> {
  const { index, reader, path, libvirt } = snapshot;
  const ram = snapshot.completeRam();
  for (const block of ram.blocks) assertHasPages(block, path);
  const configuration = plainConfiguration(index.configuration);
  const blocks = ram.blocks.map(({ id, length }) => ({ id, length }));
  const vmdescription = await readVmdescriptionFor(reader, index, configuration);
  const { runState, patches } = await recordedAs(reader, index, libvirt);
  const { head, tail } = assemblePlainFrame({ state: index, configuration, blocks, vmdescription, patches });
  const container = await before(runState);
  if (container !== undefined) await sink.write(container);
  await writeAll(head, snapshot, sink);
  const progress = new MemoryProgress(ram.total, options.onProgress);
  const encoder = new PlainPageEncoder(ram.targetPageSize, CHUNK + 2 * ram.targetPageSize);
  let dataBytes = 0;
  for (const block of ram.blocks) {
    dataBytes += await writeBlock(snapshot, block, encoder, sink, progress, options.signal);
  }
  await sink.write(encoder.take());
  await writeAll(tail, snapshot, sink);
  progress.end(dataBytes);
  return { blocks, bytes: ram.total, dataBytes, transfer: undefined, runState };
}

async function writeAll(
  pieces: readonly StreamPiece[],
  { reader }: Snapshot,
  sink: StreamSink,
): Promise<void> {
  for await (const bytes of readPieces(pieces, reader)) await sink.write(bytes);
}

/** Returns the bytes of pages that are not zero. */
async function writeBlock(
  { reader }: Snapshot,
  block: MappedRamBlock,
  encoder: PlainPageEncoder,
  sink: StreamSink,
  progress: MemoryProgress,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { pageSize: size } = block.area;
  let dataBytes = 0;
  const isZero = zeroTest(size);
  encoder.startBlock(block.id);
  for await (const { firstPage, pages, isSet, from, bytes } of pageWindows(reader, block.area)) {
    signal?.throwIfAborted();
    let data = 0;
    for (let index = 0; index < pages; index += 1) {
      if (!encoder.hasRoom) await sink.write(encoder.take());
      const offset = (firstPage + index) * size;
      const start = (index - from) * size;
      const page = isSet(index) ? bytes.subarray(start, start + size) : undefined;
      if (page === undefined || isZero(page)) {
        encoder.zeroPage(offset);
      } else {
        encoder.page(offset, page);
        data += size;
      }
    }
    dataBytes += data;
    progress.add(pages * size, data);
  }
  return dataBytes;
}
