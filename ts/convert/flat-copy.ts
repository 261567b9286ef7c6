import type { TransferOptions } from '../engine/transfer-options.ts';
import { localFile, type OpenSource } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { writePieces } from '../io/write-pieces.ts';
import { bitmapOf } from '../pages/bitmap-reader.ts';
import { applyDelta } from '../pages/overlay/apply-delta.ts';
import { savePages } from '../pages/save-pages.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import type { DeltaBase } from '../snapshot/delta-base.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { guestRam } from './guest-ram.ts';
import { recordedAs } from './recorded-as.ts';

/**
 * Copies a delta's base into an output by the engine, and writes the delta over it.
 * @param own the delta alone
 * @param output one that is a file
 * @throws {MappedRamError} as `savePages`; the errors of the sources and of the output
 */
export async function writeFlatCopy(
  snapshot: Snapshot,
  { own, base }: { readonly own: OpenSource; readonly base: DeltaBase },
  output: Output,
  options: Pick<TransferOptions, 'signal' | 'onProgress'>,
): Promise<{ readonly endOffset: number; readonly dataBytes: number }> {
  const { index, reader, libvirt } = snapshot;
  const { signal } = options;
  localFile(output, 'a copy by the engine');
  const configuration = mappedConfiguration(index.configuration);
  const { patches } = await recordedAs(reader, index, libvirt);
  const { layout, pieces, endOffset } = assembleMappedRam({
    state: index,
    configuration,
    blocks: snapshot.completeRam().blocks.map(({ id, length }) => ({ id, length })),
    vmdescription: await readVmdescriptionFor(reader, index, configuration),
    patches,
    base: output.offset,
  });
  const regions = layout.blocks.flatMap(({ id: name, area }) => {
    const below = base.blocks.find(({ id }) => id === name);
    const memory = below && { source: base.reader, area: below.area };
    return memory === undefined
      ? []
      : [{ name, area, memory, storeZeroPages: storesZeroPages(name, 'firmware') }];
  });
  await output.allocate(endOffset);
  const { report } = await savePages(output, { regions }, options);
  let { dataBytes } = report;
  const inRam = await guestRam(snapshot);
  for (const { id, area } of layout.blocks) {
    const below = base.blocks.find((block) => block.id === id);
    if (below === undefined || inRam.has(id) || storesZeroPages(id, 'firmware')) continue;
    // Somebody may have stored the zero pages of such a block, and the engine leaves them out.
    for await (const { offset, bytes } of bitmapOf(base.reader, below)) {
      signal?.throwIfAborted();
      await output.writeAt(bytes, area.bitmapOffset + offset);
    }
  }
  for (const { id, area: from } of snapshot.completeRam().blocks) {
    const to = layout.blocks.find((block) => block.id === id)?.area;
    if (to === undefined) continue;
    const storeZeroPages = !inRam.has(id);
    dataBytes += await applyDelta(own, output, { from, to, storeZeroPages }, signal);
  }
  await writePieces(output, pieces, reader, signal);
  return { endOffset, dataBytes };
}
