import assert from 'node:assert/strict';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { changedPages, mayReadProcess } from '../../ts/engine/process/changed-pages.ts';
import { ProcessCopy } from '../../ts/engine/process/process-copy.ts';
import { runTransfer, type TransferMemory, type TransferRegion } from '../../ts/engine/transfer.ts';
import { bitmapBytes, type PageArea } from '../../ts/stream/page-area.ts';
import { guestRegion } from '../../ts/guest/guest-region.ts';
import { memoryOf } from '../support/memory-of.ts';
import { saveTo } from '../support/plain-migration.ts';
import { MIB, startGuest, type RamBlock, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';

interface PlacedBlock {
  readonly id: string;
  readonly address: number;
  readonly area: PageArea;
}

/** Places for the blocks of a stopped guest in a file of this test, one after the other. */
function placed(blocks: readonly RamBlock[]): readonly PlacedBlock[] {
  let end = 0;
  return blocks.map(({ id, usedLength: length, hva: address = Number.NaN }) => {
    const bitmapOffset = end;
    const shape = { length, pageSize: PAGE };
    const pagesOffset = Math.ceil((bitmapOffset + bitmapBytes(shape)) / MIB) * MIB;
    end = pagesOffset + length;
    return { id, address, area: { ...shape, bitmapOffset, pagesOffset } };
  });
}

async function write(
  path: string,
  blocks: readonly PlacedBlock[],
  regionOf: (block: PlacedBlock, index: number) => Omit<TransferRegion, 'name' | 'area'>,
): Promise<number> {
  await using handle = await open(path, 'a+');
  const end = Math.max(...blocks.map(({ area }) => area.pagesOffset + area.length));
  if ((await handle.stat()).size < end) await truncate(path, end);
  const regions = blocks.map((block, index) => ({
    name: block.id,
    area: block.area,
    ...regionOf(block, index),
  }));
  const plan = { direction: 'save', file: { path, name: path }, regions } as const;
  const { report } = await runTransfer(plan, {});
  return report.dataBytes;
}

/** Compares the file with what QEMU has saved, page by page. Set pages count, and clear ones are zeros, or the base's. */
async function compare(
  t: ExecutionContext,
  path: string,
  blocks: readonly PlacedBlock[],
  saved: ReadonlyMap<string, Buffer>,
  base?: Buffer,
): Promise<void> {
  const bytes = await readFile(path);
  for (const { id, area } of blocks) {
    const expected = saved.get(id);
    if (expected === undefined) {
      t.fail(`QEMU has saved no block ${id}`);
      continue;
    }
    const zeros = Buffer.alloc(area.length);
    const found = id === 'm0' && base !== undefined ? Buffer.from(base) : zeros;
    for (let page = 0; page < area.length / PAGE; page += 1) {
      if (((bytes[area.bitmapOffset + (page >> 3)] ?? 0) & (1 << (page % 8))) === 0) continue;
      const at = area.pagesOffset + page * PAGE;
      found.set(bytes.subarray(at, at + PAGE), page * PAGE);
    }
    t.true(found.equals(expected), `block ${id} of ${path}`);
  }
}

async function stopped(guest: TestGuest): Promise<readonly PlacedBlock[]> {
  await guest.waitForGenerations(3);
  await guest.stop();
  return placed((await guest.ramBlocks()).filter(({ usedLength }) => usedLength > 0));
}

const inProcess = (pid: number, { address }: PlacedBlock): TransferMemory => ({ process: { pid, address } });

for (const [title, setup] of [
  ['q35 and plain -m', {}],
  ['i440fx with the devices that QEMU adds', { machine: 'pc', defaults: true }],
  ['q35 with two NUMA blocks', { numa: true }],
] as const) {
  qemuTest(`private memory read out of QEMU is what QEMU saves: ${title}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    const { pid } = guest.qemu;
    const blocks = await stopped(guest);
    t.is(await mayReadProcess(pid, blocks[0]?.address ?? 0), undefined);

    const direct = dir.file('direct');
    await write(direct, blocks, (block) => ({ memory: inProcess(pid, block) }));

    const ranges = blocks.map(({ address, area: { length } }) => ({ address, length }));
    const runs = await changedPages(pid, ranges, 'present');
    t.deepEqual(await changedPages(pid, ranges, 'present', { method: 'pagemap' }), runs);
    const copied = blocks.map(({ address }, index) => ({ address, runs: runs[index] ?? new Float64Array() }));
    const bytes = copied.reduce((sum, block) => sum + lengthOf(block.runs), 0);

    // A copy that holds all of it.
    using copy = await ProcessCopy.create(bytes);
    t.deepEqual(await copy.copy(pid, copied), { bytes, left: blocks.map(() => new Float64Array()) });
    const late = dir.file('late');

    // One that holds a third, and what is left is written while the guest stands still.
    using small = await ProcessCopy.create(Math.ceil(bytes / 3 / PAGE) * PAGE);
    const { bytes: some, left } = await small.copy(pid, copied, { threads: 1 });
    t.is(some, small.capacity);
    t.is(
      left.reduce((sum, rest) => sum + lengthOf(rest), 0),
      bytes - some,
    );
    const parts = dir.file('parts');
    await write(parts, blocks, (block, index) => ({
      memory: inProcess(pid, block),
      only: { runs: left[index] ?? new Float64Array(), zeros: 'clear' },
    }));

    const saved = dir.file('saved');
    await saveTo(guest.qmp, `file:${saved}`);
    const expected = await memoryOf(saved);

    // The guest goes on and changes its memory; the copies stay.
    await guest.cont();
    await guest.waitForGenerations(2);
    await write(late, blocks, (_, index) => ({ memory: copy.memory(index) }));
    await write(parts, blocks, (_, index) => ({
      memory: small.memory(index),
      only: {
        runs: without(runs[index] ?? new Float64Array(), left[index] ?? new Float64Array()),
        zeros: 'clear',
        base: 'in-place',
      },
    }));
    for (const path of [direct, late, parts]) await compare(t, path, blocks, expected);
    await guest.checkMemory();
  });
}

qemuTest('the changed pages of a private file mapping and the file are the memory', async (t) => {
  await using dir = await temporaryDirectory();
  await using memory = await temporaryDirectory();
  const base = Buffer.alloc(128 * MIB);
  // The guest's region is at 16 MiB; this is memory that nobody uses.
  for (let page = 20_000; page < 24_000; page += 1) base.fill(page % 256, page * PAGE, (page + 1) * PAGE);
  await writeFile(memory.file('m0.ram'), base);
  await using guest = await startGuest({ backend: 'file', memPathDir: memory.path });
  const { pid } = guest.qemu;
  const blocks = await stopped(guest);
  const main = blocks.find(({ id }) => id === 'm0');
  assert(main !== undefined, 'no block m0');
  const range = { address: main.address, length: main.area.length };
  const [changed = new Float64Array()] = await changedPages(pid, [range], 'changed');
  t.deepEqual(await changedPages(pid, [range], 'changed', { method: 'pagemap' }), [changed]);
  const { length } = guestRegion(guest.region);
  t.true(lengthOf(changed) >= length && lengthOf(changed) < length + 32 * MIB, `${lengthOf(changed)} bytes`);

  const path = dir.file('changed');
  const written = await write(path, [main], (block) => ({
    memory: { process: { pid, address: block.address, pages: 'changed' } },
    only: { runs: changed, zeros: 'store' },
  }));
  t.is(written, lengthOf(changed));
  const saved = dir.file('saved');
  await saveTo(guest.qmp, `file:${saved}`);
  await compare(t, path, [main], await memoryOf(saved), base);
  // The memory's file is as it was.
  t.true((await readFile(memory.file('m0.ram'))).equals(base));
});

function lengthOf(runs: Float64Array): number {
  return runs.reduce((sum, value, index) => (index % 2 === 1 ? sum + value : sum), 0);
}

/** The runs without the others, all of whole pages. */
function without(runs: Float64Array, others: Float64Array): Float64Array {
  const pages = new Set<number>();
  each(runs, (page) => pages.add(page));
  each(others, (page) => pages.delete(page));
  const found: number[] = [];
  for (const page of [...pages].toSorted((left, right) => left - right)) found.push(page * PAGE, PAGE);
  return Float64Array.from(found);
}

function each(runs: Float64Array, visit: (page: number) => void): void {
  for (let index = 0; index + 1 < runs.length; index += 2) {
    const [offset = 0, length = 0] = runs.subarray(index, index + 2);
    for (let page = offset / PAGE; page < (offset + length) / PAGE; page += 1) visit(page);
  }
}
