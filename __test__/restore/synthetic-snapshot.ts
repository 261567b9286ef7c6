import { writeFile } from 'node:fs/promises';

import { pack } from '../../ts/pack/pack.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { PAGE, syntheticState, testPage, writeRam } from '../support/synthetic.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

export interface SyntheticBlock {
  readonly id: string;
  readonly pages: number;
  /** @default every third page is data */
  readonly isData?: (page: number) => boolean;
}

/** A complete mapped-ram file with these blocks and one device. */
export async function syntheticSnapshot(
  dir: TemporaryDirectory,
  blocks: readonly SyntheticBlock[],
  machine?: string,
): Promise<Snapshot> {
  const [path, state] = [dir.file('synthetic.snapshot'), dir.file('synthetic.state')];
  const listed = blocks.map(({ id, pages }) => ({ id, length: pages * PAGE, address: 0 }));
  await writeFile(state, syntheticState({ blocks: listed, ...(machine === undefined ? {} : { machine }) }));
  const ram: Record<string, string> = {};
  for (const [index, { id, pages, isData = everyThird }] of blocks.entries()) {
    ram[id] = dir.file(`synthetic.ram${index}`);
    await writeRam(ram[id], pages, isData);
  }
  await pack(path, { state, ram, overwrite: true });
  return Snapshot.open(path);
}

/** The memory of a block. */
export function memoryOf({ pages, isData = everyThird }: SyntheticBlock): Buffer {
  const memory = Buffer.alloc(pages * PAGE);
  for (let page = 0; page < pages; page += 1) if (isData(page)) memory.set(testPage(page), page * PAGE);
  return memory;
}

function everyThird(page: number): boolean {
  return page % 3 === 0;
}
