import type { MappedRamBlock } from '../stream/stream-index.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { assemblePlainBatches, type PlainPage } from '../stream/write/assemble.ts';
import type { StreamPiece } from '../stream/write/pieces.ts';
import { pagesOf } from '../pages/bitmap-reader.ts';
import { plainConfiguration } from '../stream/write/configuration-forms.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/**
 * Writes a snapshot's device state as a plain stream. Any QEMU loads it without capabilities, on top of memory that is
 * in place (docs/format.md §3). The stream lists every block, but only `pages` come along. Pieces follow each other;
 * stretches to copy lie in the snapshot's file.
 * @throws {MappedRamError} as `Snapshot.completeRam`
 */
export async function* stateBatches(
  snapshot: Snapshot,
  pages: AsyncIterable<PlainPage>,
): AsyncGenerator<readonly StreamPiece[], void, void> {
  const { index, reader } = snapshot;
  const configuration = plainConfiguration(index.configuration);
  yield* assemblePlainBatches({
    state: index,
    configuration,
    blocks: snapshot.completeRam().blocks.map(({ id, length }) => ({ id, length })),
    pages,
    vmdescription: await readVmdescriptionFor(reader, index, configuration),
  });
}

/**
 * Yields the pages of blocks.
 * @param zeroPages true to send a zero page for each clear bit, because the destination's memory need not be empty
 */
export async function* plainPages(
  snapshot: Snapshot,
  blocks: readonly MappedRamBlock[],
  zeroPages = true,
): AsyncGenerator<PlainPage, void, void> {
  for (const block of blocks) {
    if (block.skipped) continue;
    for await (const { page, isSet } of pagesOf(snapshot.reader, block)) {
      const offset = page * block.area.pageSize;
      if (isSet) yield { block: block.id, offset, source: block.area.pagesOffset + offset };
      else if (zeroPages) yield { block: block.id, offset, source: 'zero' };
    }
  }
}
