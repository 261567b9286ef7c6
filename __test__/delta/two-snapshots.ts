import { writeFile } from 'node:fs/promises';

import { pack, Snapshot, writeDelta, type DeltaResult } from '../../ts/index.ts';
import { PAGE, syntheticState, testPage } from '../support/synthetic.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

/** The content of a page: a number for `testPage`, or zeros. */
export type Content = number | 'zero';

/** A block of a guest: what its pages held when the base was made, and later. */
export interface TwoBlocks {
  readonly id: string;
  readonly before: readonly Content[];
  readonly after: readonly Content[];
}

/** A guest in two snapshots, and the delta between them. */
export interface TwoSnapshots {
  readonly base: string;
  readonly later: string;
  readonly delta: string;
  readonly result: DeltaResult;
}

export function memoryOf(contents: readonly Content[]): Buffer {
  return Buffer.concat(
    contents.map((content) => (content === 'zero' ? Buffer.alloc(PAGE) : testPage(content))),
  );
}

/** The pages that differ, one by one: the naive answer. */
export function changedPages({ before, after }: TwoBlocks): readonly number[] {
  return after.flatMap((content, page) => (content === before[page] ? [] : [page]));
}

/** Writes a whole snapshot of such blocks. */
export async function writeSnapshot(
  path: string,
  blocks: readonly { readonly id: string; readonly contents: readonly Content[] }[],
  machine?: string,
): Promise<void> {
  const listed = blocks.map(({ id, contents }) => ({ id, length: contents.length * PAGE, address: 0 }));
  const state = `${path}.state`;
  await writeFile(state, syntheticState({ blocks: listed, ...(machine === undefined ? {} : { machine }) }));
  const ram = Object.fromEntries(blocks.map(({ id, contents }) => [id, memoryOf(contents)]));
  await pack(path, { state, ram, overwrite: true });
}

/** Makes the base, the later snapshot, and a delta of exactly the pages that differ. */
export async function twoSnapshots(
  dir: TemporaryDirectory,
  blocks: readonly TwoBlocks[],
): Promise<TwoSnapshots> {
  const [base, later, delta] = [dir.file('base.mr'), dir.file('later.mr'), dir.file('guest.delta')];
  await writeSnapshot(
    base,
    blocks.map(({ id, before }) => ({ id, contents: before })),
  );
  await writeSnapshot(
    later,
    blocks.map(({ id, after }) => ({ id, contents: after })),
  );
  await using memory = await Snapshot.open(later);
  const ram = Object.fromEntries(
    blocks.map((block) => [
      block.id,
      { memory, changed: changedPages(block).map((first) => ({ first, count: 1 })) },
    ]),
  );
  const result = await writeDelta(delta, { base, state: later, ram, overwrite: true });
  return { base, later, delta, result };
}

/** A guest with every kind of change in it. */
export const GUEST: readonly TwoBlocks[] = [
  {
    id: 'pc.ram',
    //        same     changed  to zero      zero→data    zero both    same
    before: [
      1,
      2,
      3,
      'zero',
      'zero',
      6,
      ...Array.from({ length: 700 }, (_, page) => (page % 3 === 0 ? page + 100 : ('zero' as const))),
    ],
    after: [
      1,
      20,
      'zero',
      4,
      'zero',
      6,
      ...Array.from({ length: 700 }, (_, page) =>
        page % 7 === 0 ? page + 5000 : page % 3 === 0 ? page + 100 : ('zero' as const),
      ),
    ],
  },
  { id: 'pc.bios', before: [7, 'zero', 8], after: [7, 'zero', 8] },
  { id: 'system.flash0', before: [9, 'zero', 'zero'], after: [9, 'zero', 10] },
];
