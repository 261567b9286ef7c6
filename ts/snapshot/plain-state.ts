import {
  assemblePlainBatches,
  CAPABILITY_IGNORE_SHARED,
  CAPABILITY_MAPPED_RAM,
  readVmdescriptionFor,
  type MappedRamBlock,
  type PlainPage,
  type StreamPiece,
} from '../stream/index.ts';
import { pagesOf } from './block-pages.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * A snapshot's device state as a plain stream that any QEMU loads without capabilities (docs/format.md §3), with the
 * pages given: batches of pieces that follow each other from offset 0 on. Memory does not grow with the pages.
 *
 * @throws {MappedRamError} as `Snapshot.completeRam`
 */
export async function* plainState(
  snapshot: Snapshot,
  pages: AsyncIterable<PlainPage>,
): AsyncGenerator<readonly StreamPiece[], void, void> {
  const { index, reader } = snapshot;
  const { blocks } = snapshot.completeRam();
  const capabilities = index.configuration.capabilities.filter(
    (capability) => capability !== CAPABILITY_MAPPED_RAM && capability !== CAPABILITY_IGNORE_SHARED,
  );
  const configuration = { ...index.configuration, capabilities };
  yield* assemblePlainBatches({
    state: index,
    configuration,
    blocks: blocks.map(({ id, length }) => ({ id, length })),
    pages,
    vmdescription: await readVmdescriptionFor(reader, index, configuration),
  });
}

/**
 * The pages of blocks as the file has them.
 * @param zeroPages whether a clear page is sent as a zero page: where the destination's memory need not be empty
 */
export async function* plainPages(
  snapshot: Snapshot,
  blocks: readonly MappedRamBlock[],
  zeroPages: (block: MappedRamBlock) => boolean = () => true,
): AsyncGenerator<PlainPage, void, void> {
  for (const block of blocks.filter(({ skipped }) => !skipped)) {
    const sendsZeros = zeroPages(block);
    for await (const { page, isSet } of pagesOf(snapshot.reader, block)) {
      const offset = page * block.targetPageSize;
      if (isSet) yield { block: block.id, offset, source: block.pagesOffset + offset };
      else if (sendsZeros) yield { block: block.id, offset, source: 'zero' };
    }
  }
}
