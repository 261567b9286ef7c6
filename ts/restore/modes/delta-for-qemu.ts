import { findStalePages } from '../../engine/stale-pages.ts';
import { localFile, type OpenSource } from '../../io/open-source.ts';
import { countSetPages, pagesOf } from '../../pages/bitmap-reader.ts';
import { isFirmware } from '../../stream/block-names.ts';
import { mayWriteRam } from '../../stream/default-ram.ts';
import { pagesIn } from '../../stream/page-area.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';
import type { LoadRun } from '../load.ts';

/**
 * Decides whether QEMU may read a delta by itself, over the memory that it has mapped out of the base: by the delta's
 * second head, as a mapped-ram file (docs/format.md §13). QEMU leaves alone what has a clear bit there. So that must be
 * right already: the base's pages in the blocks that are in place, zeros in the others.
 * @returns false for a snapshot that is no delta, too, and where a stream that brings the pages was made beforehand
 */
export async function mayReadDelta({ snapshot, facts, inPlace, options }: LoadRun): Promise<boolean> {
  const {
    base,
    index: { machine },
    sources: [own],
  } = snapshot;
  if (base === undefined || own === undefined || options.state !== undefined) return false;
  if (!facts.features.mappedRam || mayWriteRam(machine)) return false;
  const { blocks } = snapshot.completeRam(true);
  // A mapped-ram file changes no block's length, as a plain stream does (docs/format.md §4.2).
  const fits = blocks.every(({ id, length }) => {
    const found = facts.memory.find((block) => block.id === id);
    return found?.length === length;
  });
  if (!fits) return false;
  const { fd } = localFile(base.reader, 'a restore');
  for (const block of blocks) {
    const below = base.blocks.find(({ id }) => id === block.id);
    if (below === undefined) return false;
    const isRight = inPlace.includes(block.id)
      ? (await findStalePages(fd, base.path, below)).runs.length === 0
      : await isWhole({ own, block }, { own: base.reader, block: below });
    if (!isRight) return false;
  }
  return true;
}

interface Place {
  readonly own: OpenSource;
  readonly block: MappedRamBlock;
}

/** Tells whether a delta has every page of a block that is not zero, and of firmware the others, too. */
async function isWhole(delta: Place, base: Place): Promise<boolean> {
  if (isFirmware(delta.block.id)) {
    return (await countSetPages(delta.own, delta.block)) === pagesIn(delta.block.area);
  }
  const here = pagesOf(delta.own, delta.block);
  for await (const { isSet } of pagesOf(base.own, base.block)) {
    const { value } = await here.next();
    if (isSet && value?.isSet !== true) return false;
  }
  return true;
}
