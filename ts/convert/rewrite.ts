import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { savePages } from '../pages/save-pages.ts';
import { guestRam } from './guest-ram.ts';
import type { ConvertOptions } from './options.ts';
import { recordedAs } from './recorded-as.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { bitmapOf, pagesOf } from '../pages/bitmap-reader.ts';
import { PageBits } from '../pages/page-bits.ts';
import { assertBlocksExist, assertHasPages } from '../pages/blocks.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { writePieces } from '../io/write-pieces.ts';

/** The memory of the result. */
export interface Converted {
  /** End of the result, in bytes. */
  readonly endOffset: number;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly bytes: number;
  readonly dataBytes: number;
  readonly transfer: TransferReport | undefined;
  /** The run state that the result records. */
  readonly runState: string | undefined;
}

/**
 * Writes a mapped-ram file anew, perhaps at another offset. The engine moves the set pages. It leaves out pages of the
 * guest's RAM that turn out to be zero.
 * @throws {MappedRamError} as `Snapshot.completeRam`, and ERR_MAPPED_RAM_UNSUPPORTED for a block without its pages
 */
export async function convertMapped(
  snapshot: Snapshot,
  output: Output,
  options: ConvertOptions,
): Promise<Converted> {
  const { index, reader, path, libvirt } = snapshot;
  const { signal, storeZeroPages = 'firmware' } = options;
  const ram = snapshot.completeRam();
  for (const block of ram.blocks) assertHasPages(block, path);
  if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, ram.blocks, path);
  const configuration = mappedConfiguration(index.configuration);
  const blocks = ram.blocks.map(({ id, length }) => ({ id, length }));
  const guestBlocks = await guestRam(snapshot);
  const vmdescription = await readVmdescriptionFor(reader, index, configuration);
  const { runState, patches } = await recordedAs(reader, index, libvirt);
  const { layout, pieces, endOffset } = assembleMappedRam({
    state: index,
    configuration,
    blocks,
    vmdescription,
    patches,
    base: output.offset,
  });
  const isKept = (name: string): boolean => !guestBlocks.has(name) && !storesZeroPages(name, storeZeroPages);
  const regions = [];
  for (const { id: name, area } of layout.blocks) {
    const from = ram.blocks.find(({ id }) => id === name);
    if (from === undefined) continue;
    // Nobody knows what a storage gives where nothing was written.
    const pages = output.file === undefined && isKept(name) ? await setPagesOf(reader, from) : undefined;
    const memory = { source: reader, area: from.area };
    regions.push({ name, area, memory, pages, storeZeroPages: storesZeroPages(name, storeZeroPages) });
  }
  await output.allocate(endOffset);
  const { report: transfer } = await savePages(output, { regions }, options);
  for (const { id: name, area } of output.file === undefined ? [] : layout.blocks) {
    const from = ram.blocks.find(({ id }) => id === name);
    if (from === undefined || !isKept(name)) continue;
    // The pages that the engine left out are zero in the source, and holes in the result.
    for await (const { offset, bytes } of bitmapOf(reader, from)) {
      signal?.throwIfAborted();
      await output.writeAt(bytes, area.bitmapOffset + offset);
    }
  }
  await writePieces(output, pieces, reader, signal);
  const { bytes, dataBytes } = transfer;
  return { endOffset, blocks, bytes, dataBytes, transfer, runState };
}

async function setPagesOf(reader: OpenSource, block: MappedRamBlock): Promise<PageBits> {
  const bits = new PageBits();
  for await (const { page, isSet } of pagesOf(reader, block)) if (isSet) bits.set(page);
  return bits;
}
