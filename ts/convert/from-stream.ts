import { bitmapBytes } from '../stream/page-area.ts';
import { MappedRamError } from '../errors.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import { bytesReader, type RandomAccessReader } from '../stream/reader.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import type { MappedRamLayout } from '../stream/write/layout.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import { isVirtioMem } from '../stream/virtio-mem.ts';
import { encodeMappedRamStart } from '../stream/write/encode-ram.ts';
import { PlainStream, type PlainStreamHead } from '../stream/read/plain-stream.ts';
import type { StreamPatch } from '../stream/global-state.ts';
import type { Input } from './input.ts';
import type { ConvertOptions } from './options.ts';
import { recordedAs } from './recorded-as.ts';
import type { Converted } from './rewrite.ts';
import { localFile } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { inSource } from './source-places.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { MemoryProgress } from '../engine/memory-progress.ts';
import { PlainPages } from '../pages/plain-pages.ts';
import { assertBlocksExist } from '../pages/blocks.ts';
import { writePieces } from '../io/write-pieces.ts';

/**
 * Writes a plain stream as a mapped-ram file, in one pass. Pages go to their places as they come. Everything else is
 * kept in memory until the end of the stream, where the vmdescription is.
 * @throws {MappedRamError} as `PlainStream` and `PlainPages`; ERR_MAPPED_RAM_INCOMPLETE for a stream that is cut off,
 * ERR_MAPPED_RAM_INVALID_ARGUMENT for one that lacks the memory of some block
 */
export async function convertFromStream(
  { sequential: reader, offset: base, libvirt }: Pick<Input, 'sequential' | 'offset' | 'libvirt'>,
  output: Output,
  options: ConvertOptions,
): Promise<Converted> {
  const { signal, storeZeroPages } = options;
  const stream = new PlainStream(reader, base);
  const head = await stream.readHead();
  if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, head.blocks, reader.name);
  const layout = layoutOf(head, output.offset);
  await output.allocate(layout.endOffset);
  const pages = placesIn(layout, output, options);
  const progress = new MemoryProgress(layout.total, options.onProgress);
  for await (const batch of stream.pages()) {
    signal?.throwIfAborted();
    const before = pages.dataBytes;
    await pages.apply(reader, batch);
    progress.add(batch.length * head.targetPageSize, pages.dataBytes - before);
  }
  await pages.finish();
  const rest = await stream.rest();
  const dataBytes = await writeBitmaps(layout, pages, output);
  const source = { ...bytesReader(rest, reader.name), kind: reader.kind };
  const state = await readStreamIndex(source);
  assertComplete(state, head, stream, reader.name);
  for (const { id } of head.blocks) {
    if (pages.block(id)?.records === 0 && !isVirtioMem(id, state)) throw missing(id, reader.name);
  }
  // The rest of the stream lies in memory by now, at other places than in the source.
  const { runState, patches } = await recordedAs(source, state, libvirt);
  const endOffset = await writeState(state, source, layout, output, patches, signal).catch(
    (error: unknown) => {
      throw error instanceof MappedRamError && error.path === source.name ? inSource(error, stream) : error;
    },
  );
  progress.end(dataBytes);
  return { endOffset, blocks: head.blocks, bytes: layout.total, dataBytes, transfer: undefined, runState };
}

function layoutOf(head: PlainStreamHead, base: number): MappedRamLayout {
  const { blocks, sectionId, targetPageSize, records } = head;
  const configuration = mappedConfiguration(head.configuration);
  return encodeMappedRamStart({ configuration, blocks, base, sectionId, targetPageSize, records }).layout;
}

function placesIn(layout: MappedRamLayout, output: Output, options: ConvertOptions): PlainPages {
  const { storeZeroPages = 'firmware' } = options;
  const places = layout.blocks.map(
    ({ id, area }) =>
      [id, { start: area.pagesOffset, storeZeroPages: storesZeroPages(id, storeZeroPages) }] as const,
  );
  const { fd } = localFile(output, 'putting the pages of a stream at their places');
  return new PlainPages(fd, output.name, layout.targetPageSize, new Map(places));
}

/** Returns the bytes of the pages whose bits are set. */
async function writeBitmaps(layout: MappedRamLayout, pages: PlainPages, output: Output): Promise<number> {
  let set = 0;
  for (const { id, area } of layout.blocks) {
    const block = pages.block(id);
    if (block === undefined) continue;
    const [bitmapOffset, bitmapSize] = [area.bitmapOffset, bitmapBytes(area)];
    for (const { offset, bytes } of block.pages.pieces()) {
      await output.writeAt(bytes.subarray(0, bitmapSize - offset), bitmapOffset + offset);
    }
    set += block.pages.count();
  }
  return set * layout.targetPageSize;
}

function missing(id: string, path: string): MappedRamError {
  const message = `the memory of block ${id} is not in the stream`;
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', message, {
    path,
    expected: 'a stream with all memory; pack makes a snapshot of a device state and RAM files',
  });
}

/** Writes everything but pages and bitmaps; returns the end of the file. */
async function writeState(
  state: StreamIndex,
  source: RandomAccessReader,
  layout: MappedRamLayout,
  output: Output,
  patches: readonly StreamPatch[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const configuration = mappedConfiguration(state.configuration);
  const {
    pieces,
    endOffset,
    layout: final,
  } = assembleMappedRam({
    state,
    configuration,
    blocks: layout.blocks.map(({ id, length }) => ({ id, length })),
    vmdescription: await readVmdescriptionFor(source, state, configuration),
    patches,
    base: output.offset,
  });
  if (final.endOffset !== layout.endOffset) {
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the pages lie elsewhere than the block list says');
  }
  await output.allocate(endOffset);
  await writePieces(output, pieces, source, signal);
  return endOffset;
}

function assertComplete(
  { problem, ram }: StreamIndex,
  head: PlainStreamHead,
  stream: PlainStream,
  path: string,
): void {
  if (problem !== undefined) {
    const cause = inSource(problem, stream);
    throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'the stream is not complete', { cause });
  }
  // QEMU accepts pages in any section of RAM, but no QEMU writes a page behind END. The result would lose such a page.
  if (ram?.form === 'plain' && Object.values(ram.pages).some((count) => count > 0)) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'pages behind the section that ends RAM', { path });
  }
  // Without blocks nothing in a pipe tells the size, and nothing depends on it.
  if (head.blocks.length === 0 || ram?.targetPageSize === head.targetPageSize) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'page size of the guest', {
    expected: head.targetPageSize,
    found: ram?.targetPageSize,
  });
}
