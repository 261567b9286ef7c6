import { cloneFile } from '../engine/clone-file.ts';
import { MemoryProgress } from '../engine/memory-progress.ts';
import type { TransferOptions } from '../engine/transfer-options.ts';
import { MappedRamError } from '../errors.ts';
import type { Output } from '../io/output.ts';
import { writePieces } from '../io/write-pieces.ts';
import { applyDelta } from '../pages/overlay/apply-delta.ts';
import type { DeltaBase } from '../snapshot/delta-base.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { piecesBehindRam } from '../stream/write/behind-ram.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { encodeRamEos } from '../stream/write/encode-ram.ts';
import { guestRam } from './guest-ram.ts';
import { recordedAs } from './recorded-as.ts';

/**
 * Makes the output a clone of a delta's base, where that is possible.
 * @returns the reason in words why it is not, and nothing is written then; undefined when the output is a clone now
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function whyNoReflink({ base, index }: Snapshot, output: Output): Promise<string | undefined> {
  if (base === undefined) return 'the snapshot is whole';
  const from = base.reader.file;
  if (from === undefined) return 'the base is no file on this host';
  if (output.file === undefined) return 'the result is no file on this host';
  if (output.file.path === undefined) return 'the result is a file that is there already';
  if (output.offset !== 0 || base.index.base !== 0) {
    return 'the result, or the base, does not start at the beginning of its file';
  }
  const end = endOf(base);
  if (base.blocks.some(({ area }) => area.bitmapOffset > end)) return 'the base has bitmaps behind its pages';
  const id = base.index.ram?.sectionId;
  // The head of the base stays, and with it the number of RAM's section: no other section may have it.
  if (id !== index.ram?.sectionId && index.sections.some(({ sectionId }) => sectionId === id)) {
    return 'the sections have other numbers in the base';
  }
  return cloneFile(from.fd, output.file.fd, output.name);
}

/**
 * Turns a clone of a delta's base into the delta's guest: writes the pages of the delta in their places, and its device
 * state behind them.
 * @throws {MappedRamError} the errors of the sources and of the output; the signal's reason
 */
export async function writeReflink(
  snapshot: Snapshot,
  output: Output,
  { signal, onProgress }: Pick<TransferOptions, 'signal' | 'onProgress'>,
): Promise<{ readonly endOffset: number; readonly dataBytes: number }> {
  const { base, index, reader, sources, libvirt } = snapshot;
  const [own] = sources;
  const { ram } = base?.index ?? {};
  if (base === undefined || own === undefined || ram === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a clone without a base', { path: snapshot.path });
  }
  const configuration = mappedConfiguration(index.configuration);
  const vmdescription = await readVmdescriptionFor(reader, index, configuration);
  const { patches } = await recordedAs(reader, index, libvirt);
  const end = endOf(base);
  const eos = encodeRamEos(ram.sectionId);
  const tail = piecesBehindRam({ state: index, vmdescription, patches }, end + eos.length, ram.sectionId);
  const inRam = await guestRam(snapshot);
  const progress = new MemoryProgress(ram.total, onProgress);
  let dataBytes = 0;
  for (const { id, length, area: from } of snapshot.completeRam().blocks) {
    const to = base.blocks.find((block) => block.id === id)?.area;
    if (to === undefined) continue;
    const storeZeroPages = !inRam.has(id);
    const written = await applyDelta(own, output, { from, to, storeZeroPages }, signal);
    dataBytes += written;
    progress.add(length, written);
  }
  // The tail of the base goes first: it may be longer.
  await output.allocate(end);
  await output.allocate(tail.offset);
  await writePieces(output, [{ offset: end, bytes: eos }, ...tail.list], own, signal);
  progress.end(dataBytes);
  return { endOffset: tail.offset, dataBytes };
}

/** Offset behind the last block's pages in a base. */
function endOf({ blocks }: DeltaBase): number {
  return Math.max(...blocks.map(({ area }) => area.pagesOffset + area.length));
}
