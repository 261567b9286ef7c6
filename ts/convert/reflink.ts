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
import { piecesBehindRam, ramOf } from '../stream/write/behind-ram.ts';
import type { StreamPiece } from '../stream/write/pieces.ts';
import type { StreamPatch } from '../stream/global-state.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { encodeRamEos } from '../stream/write/encode-ram.ts';
import { guestRam } from './guest-ram.ts';
import { recordedAs } from './recorded-as.ts';

/** The reason why a file of the caller's is no clone. */
export const THERE_ALREADY = 'the result is a file that is there already';

/**
 * Makes the output a clone of a base, where that is possible.
 * @returns the reason in words why it is not, and nothing is written then; undefined when the output is a clone now
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function whyNoClone(base: DeltaBase, output: Output): Promise<string | undefined> {
  const from = base.reader.file;
  if (from === undefined) return 'the base is no file on this host';
  if (output.file === undefined) return 'the result is no file on this host';
  if (output.file.path === undefined) return THERE_ALREADY;
  if (output.offset !== 0 || base.index.base !== 0) {
    return 'the result, or the base, does not start at the beginning of its file';
  }
  const end = endOf(base);
  if (base.blocks.some(({ area }) => area.bitmapOffset > end)) return 'the base has bitmaps behind its pages';
  return cloneFile(from.fd, output.file.fd, output.name);
}

/**
 * The reason in words why a state cannot stand behind a clone of a base; undefined when it can. The head of the base
 * stays, and with it the number of RAM's section: no other section may have it.
 */
export function whyNotBehind({ index: { ram } }: DeltaBase, state: StreamIndex): string | undefined {
  const id = ram?.sectionId;
  return id !== state.ram?.sectionId && state.sections.some(({ sectionId }) => sectionId === id)
    ? 'the sections have other numbers in the base'
    : undefined;
}

/** Everything that stands behind the pages in a clone of a base. */
export interface BehindClone {
  /** Offset of the end of the pages, up to which the base's file stays. */
  readonly start: number;
  readonly pieces: readonly StreamPiece[];
  /** Offset of the stream's end. */
  readonly endOffset: number;
}

/** Assembles what stands behind the pages in a clone of a base. @throws {MappedRamError} as `piecesBehindRam` */
export async function behindClone(
  base: DeltaBase,
  { reader, index }: Pick<Snapshot, 'reader' | 'index'>,
  patches: readonly StreamPatch[],
): Promise<BehindClone> {
  const { sectionId } = ramOf(base.index);
  const vmdescription = await readVmdescriptionFor(reader, index, mappedConfiguration(index.configuration));
  const start = endOf(base);
  const eos = encodeRamEos(sectionId);
  const tail = piecesBehindRam({ state: index, vmdescription, patches }, start + eos.length, sectionId);
  return { start, pieces: [{ offset: start, bytes: eos }, ...tail.list], endOffset: tail.offset };
}

/** Gives a clone of a base its new size. The tail of the base goes: it may be longer than the new one. */
export async function allocateClone(output: Output, { start, endOffset }: BehindClone): Promise<void> {
  await output.allocate(start);
  await output.allocate(endOffset);
}

/**
 * Makes the output a clone of a delta's base, where that is possible.
 * @returns as `whyNoClone`
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function whyNoReflink({ base, index }: Snapshot, output: Output): Promise<string | undefined> {
  if (base === undefined) return 'the snapshot is whole';
  return whyNotBehind(base, index) ?? whyNoClone(base, output);
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
  if (base === undefined || own === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a clone without a base', { path: snapshot.path });
  }
  const { patches } = await recordedAs(reader, index, libvirt);
  const behind = await behindClone(base, snapshot, patches);
  const inRam = await guestRam(snapshot);
  const progress = new MemoryProgress(ramOf(base.index).total, onProgress);
  let dataBytes = 0;
  for (const { id, length, area: from } of snapshot.completeRam().blocks) {
    const to = base.blocks.find((block) => block.id === id)?.area;
    if (to === undefined) continue;
    const storeZeroPages = !inRam.has(id);
    const written = await applyDelta(own, output, { from, to, storeZeroPages }, signal);
    dataBytes += written;
    progress.add(length, written);
  }
  await allocateClone(output, behind);
  await writePieces(output, behind.pieces, own, signal);
  progress.end(dataBytes);
  return { endOffset: behind.endOffset, dataBytes };
}

/** Offset behind the last block's pages in a base. */
function endOf({ blocks }: DeltaBase): number {
  return Math.max(...blocks.map(({ area }) => area.pagesOffset + area.length));
}
