import { writeFile } from 'node:fs/promises';

import type { DirectIo, TransferReport } from '../../ts/engine/transfer-options.ts';
import { diff, pack, unpack, verify } from '../../ts/index.ts';
import { PAGE, syntheticState, testPage } from '../support/synthetic.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

export const BLOCK = 'ram';
/** 64 MiB. */
const PAGES = 16_384;

/** Contents of guest memory by name: whether a page holds data. They are the same in every run. */
const PATTERNS: Readonly<Record<Pattern, (page: number) => boolean>> = {
  full: () => true,
  // Stretches of 2 MiB, data and zeros in turn.
  halfZero: (page) => Math.floor(page / 512) % 2 === 0,
  scattered: scatteredPages(),
};

export type Pattern = 'full' | 'halfZero' | 'scattered';
export const PATTERN_NAMES: readonly Pattern[] = ['full', 'halfZero', 'scattered'];

/** The work of one channel: the number of channels that suits a machine would change the counts. */
export interface Way {
  readonly ioEngine: 'io_uring' | 'threads';
  readonly directIo: Exclude<DirectIo, 'auto'>;
}

/** The files of one pattern. */
export interface TransferFiles {
  readonly state: string;
  readonly ram: string;
  /** The same memory with every hundredth page changed. */
  readonly changedRam: string;
}

/** Runs of 1 to 64 pages, data and zeros in turn. */
function scatteredPages(): (page: number) => boolean {
  const pages: boolean[] = [];
  let random = 1;
  for (let isData = true; pages.length < PAGES; isData = !isData) {
    // The constants are those of the C standard's example of rand().
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    const length = ((random >>> 16) % 64) + 1;
    for (let page = 0; page < length; page += 1) pages.push(isData);
  }
  return (page) => pages[page] === true;
}

/** Writes memory whose zero pages are really in the file, so that they are looked at. */
export async function writeFiles(dir: TemporaryDirectory, pattern: Pattern): Promise<TransferFiles> {
  const files = {
    state: dir.file('state'),
    ram: dir.file(`${pattern}.ram`),
    changedRam: dir.file(`${pattern}-changed.ram`),
  };
  const memory = Buffer.alloc(PAGES * PAGE);
  for (let page = 0; page < PAGES; page += 1) {
    if (PATTERNS[pattern](page)) memory.set(testPage(page), page * PAGE);
  }
  await writeFile(files.state, syntheticState({ blocks: [{ id: BLOCK, length: memory.length }] }));
  await writeFile(files.ram, memory);
  for (let page = 0; page < PAGES; page += 100)
    memory.writeUInt8(memory.readUInt8(page * PAGE) ^ 1, page * PAGE);
  await writeFile(files.changedRam, memory);
  return files;
}

/** Saves, loads, verifies and compares, and hands out the report of each by the name of the work. */
export async function runTransfers(
  dir: TemporaryDirectory,
  { state, ram, changedRam }: TransferFiles,
  way: Way,
): Promise<ReadonlyMap<string, TransferReport>> {
  const options = { ...way, channels: 1 };
  const [snapshot, changed, loaded] = [dir.file('one.mr'), dir.file('other.mr'), dir.file('loaded.ram')];
  const over = { ...options, overwrite: true };
  const saved = await pack(snapshot, { ...over, state, ram: { [BLOCK]: ram } });
  await pack(changed, { ...over, state, ram: { [BLOCK]: changedRam } });
  const unpacked = await unpack(snapshot, { ...over, ram: { [BLOCK]: loaded } });
  const verified = await verify(snapshot, options);
  const compared = await diff(snapshot, changed, options);
  const reports = new Map<string, TransferReport>();
  const found = { save: saved, load: unpacked, verify: verified, diff: compared };
  for (const [work, { transfer }] of Object.entries(found)) {
    if (transfer === undefined) throw new Error(`${work} moved no pages`);
    reports.set(work, transfer);
  }
  return reports;
}
