import { MappedRamError } from '../errors.ts';
import { inWords } from '../io/in-words.ts';
import { assertBlocksExist, assertHasPages } from '../pages/blocks.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { pagesIn } from '../stream/page-area.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import type { ChangedMemory } from './delta-options.ts';

/**
 * Checks that a base, a device state and the memory of blocks make one guest.
 * @param ids the blocks whose memory is given
 * @returns the base's RAM
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_INCOMPLETE
 */
export function assertGoTogether(base: Snapshot, state: Snapshot, ids: readonly string[]): MappedRamIndex {
  const { path } = base;
  if (base.base !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'a delta stands on a whole snapshot', {
      path,
      expected: `its base (${base.base.path}), or the snapshot that flatten makes of it`,
      found: 'a delta',
    });
  }
  const ram = base.completeRam();
  for (const block of ram.blocks) assertHasPages(block, path);
  assertBlocksExist(ids, ram.blocks, path);
  const left = ram.blocks.find(({ id }) => !ids.includes(id));
  if (left !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `the memory of block ${left.id} is missing`, {
      expected: 'every block of the base in ram, with changed: [] where nothing has changed',
      found: ids.join(', '),
    });
  }
  assertState(base, state, ram);
  return ram;
}

function assertState(
  base: Snapshot,
  { index, path }: Snapshot,
  { blocks, targetPageSize }: MappedRamIndex,
): void {
  if (index.machine !== base.index.machine) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the state is of another machine than the base',
      {
        path,
        expected: base.index.machine,
        found: index.machine,
      },
    );
  }
  const there = index.ram?.blocks ?? [];
  const isSame =
    there.length === blocks.length &&
    blocks.every(({ id, length }) => there.some((block) => block.id === id && block.length === length));
  if (isSame && index.ram?.targetPageSize === targetPageSize) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the state has other blocks than the base', {
    path,
    expected: wordsOf(blocks, targetPageSize),
    found: wordsOf(there, index.ram?.targetPageSize),
  });
}

function wordsOf(
  blocks: readonly { readonly id: string; readonly length: number }[],
  pageSize: number | undefined,
): string {
  const list = blocks.map(({ id, length }) => `${id} (${length} bytes)`).join(', ');
  return list === '' ? 'none' : `${list}, in pages of ${pageSize} bytes`;
}

/**
 * Checks the pages that a caller gives for a block.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what are no stretches in order and apart;
 *   ERR_MAPPED_RAM_OUT_OF_RANGE for pages that the block does not have
 */
export function assertStretches(
  { id, area }: MappedRamBlock,
  { changed }: ChangedMemory,
  path: string,
): void {
  if (changed === undefined) return;
  const what = `changed pages of block ${id}`;
  if (!Array.isArray(changed)) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', what, {
      path,
      expected: 'an array of { first, count }',
      found: inWords(changed),
    });
  }
  const pages = pagesIn(area);
  let next = 0;
  for (const { first, count } of changed) {
    const isCount = Number.isSafeInteger(first) && Number.isSafeInteger(count) && count > 0;
    if (!isCount || first < next) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', what, {
        path,
        expected: `pages from ${next} on, one or more`,
        found: `${count} from ${first} on`,
      });
    }
    next = first + count;
    if (next <= pages) continue;
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', what, {
      path,
      expected: `at most ${pages} pages`,
      found: `${count} from ${first} on`,
    });
  }
}
