import type { TransferOptions } from '../../engine/transfer-options.ts';
import { regionOf } from '../../pages/blocks.ts';
import { loadPages } from '../../pages/load-pages.ts';
import type { Sealing } from '../../seal/sealing.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';

/**
 * Makes the seal of a snapshot that was written out of several places. Its pages are read once more: some of them came
 * from the base, and nobody had them in hand.
 * @param base the base of what was written, open: its name may lead elsewhere by now
 * @throws {MappedRamError} as `loadPages` and `Sealing.write`
 */
export async function sealWritten(
  sealing: Sealing,
  written: { readonly fd: number; readonly offset: number },
  base: Snapshot | undefined,
  options: TransferOptions,
): Promise<void> {
  const { pieceSize } = sealing;
  if (pieceSize === undefined) return;
  const { signal } = options;
  await using snapshot = await (base === undefined
    ? Snapshot.open(written, signal)
    : Snapshot.openOver(written, base));
  const { blocks, targetPageSize: pageSize } = snapshot.completeRam(true);
  const { reader, index } = snapshot;
  const regions = blocks.map((block) => regionOf(block));
  const { pieces } = await loadPages(reader, { direction: 'scan', regions, pieceSize }, options);
  const part = { source: reader, base: index.base, size: reader.size, pageSize };
  await sealing.write({ ...part, blocks, pieces }, signal);
}
