import { readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { changedPages, mayReadProcess } from '../../ts/engine/process/changed-pages.ts';
import { ProcessCopy } from '../../ts/engine/process/process-copy.ts';
import { runTransfer, type TransferMemory } from '../../ts/engine/transfer.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGE = 4096;
/** No process has this number: the kernel's own limit is 4 Mi. */
const NOBODY = 2 ** 31 - 16;

/** A stretch of this process's own memory that stays as it is: the first mapping of the program. */
async function ownMemory(): Promise<{ readonly address: number; readonly bytes: Buffer }> {
  const maps = await readFile('/proc/self/maps', 'latin1');
  const { start, path = '' } =
    /^(?<start>[0-9a-f]+)-[0-9a-f]+ r--p 00000000 \S+ \d+ +(?<path>\/.*node.*)$/m.exec(maps)?.groups ?? {};
  return { address: Number(`0x${start}`), bytes: (await readFile(path)).subarray(0, 4 * PAGE) };
}

async function saved(memory: TransferMemory, pages: number): Promise<Buffer> {
  await using dir = await temporaryDirectory();
  const path = dir.file('x');
  await writeFile(path, Buffer.alloc(2 * PAGE + pages * PAGE));
  const area = { bitmapOffset: 0, pagesOffset: PAGE, length: pages * PAGE, pageSize: PAGE };
  const file = { path, name: path };
  await runTransfer({ direction: 'save', file, regions: [{ name: 'own', area, memory }] }, {});
  return (await readFile(path)).subarray(PAGE, PAGE + pages * PAGE);
}

test('memory of this very process is read by the kernel, as it lies and from a copy', async (t) => {
  const { address, bytes } = await ownMemory();
  const { pid } = process;
  t.is(await mayReadProcess(pid, address), undefined);
  t.true((await saved({ process: { pid, address, pages: 'all' } }, 4)).equals(bytes));
  t.true(
    (await saved({ process: { pid, address, pages: 'all' }, offset: PAGE }, 2)).equals(
      bytes.subarray(PAGE, 3 * PAGE),
    ),
  );
  // A mapping of a file shows the file, and nothing has changed there.
  const [runs] = await changedPages(pid, [{ address, length: 4 * PAGE }], 'changed');
  t.is(runs?.length, 0);

  using copy = await ProcessCopy.create(4 * PAGE);
  const half = Float64Array.of(0, PAGE, 2 * PAGE, PAGE);
  t.deepEqual(await copy.copy(pid, [{ address, runs: half }]), {
    bytes: 2 * PAGE,
    left: [new Float64Array()],
  });
  const found = await saved(copy.memory(0), 4);
  t.true(found.subarray(0, PAGE).equals(bytes.subarray(0, PAGE)));
  t.true(found.subarray(PAGE, 2 * PAGE).equals(Buffer.alloc(PAGE)));
  t.true(found.subarray(2 * PAGE, 3 * PAGE).equals(bytes.subarray(2 * PAGE, 3 * PAGE)));

  // What does not fit is told, and cut between pages.
  const five = Float64Array.of(0, 3 * PAGE, 3 * PAGE, PAGE);
  using small = await ProcessCopy.create(2 * PAGE);
  const { bytes: copied, left } = await small.copy(pid, [{ address, runs: five }], { threads: 4 });
  t.is(copied, 2 * PAGE);
  t.deepEqual(left, [Float64Array.of(2 * PAGE, PAGE, 3 * PAGE, PAGE)]);

  // Pages of the guest may be larger than those of the host.
  using odd = await ProcessCopy.create(3 * PAGE);
  const four = [{ address, runs: Float64Array.of(0, 4 * PAGE) }];
  t.deepEqual(await odd.copy(pid, four, { unit: 2 * PAGE }), {
    bytes: 2 * PAGE,
    left: [Float64Array.of(2 * PAGE, 2 * PAGE)],
  });
  t.deepEqual(await odd.copy(pid, four, { unit: 4 * PAGE }), {
    bytes: 0,
    left: [Float64Array.of(0, 4 * PAGE)],
  });
});

test('a copy that is closed gives its memory back and is of no use', async (t) => {
  const { address } = await ownMemory();
  const copy = await ProcessCopy.create(PAGE);
  copy.close();
  copy.close();
  const runs = Float64Array.of(0, PAGE);
  await t.throwsAsync(copy.copy(process.pid, [{ address, runs }]), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /the copy has no buffer/,
  });
  await t.throwsAsync(saved(copy.memory(0), 1), { message: /the copy has no buffer/ });
});

test('who may not look, and where nothing is, is said in words', async (t) => {
  const gone = await mayReadProcess(NOBODY, 2 ** 40);
  t.regex(gone?.pagemap ?? '', /looking at process \d+: there is none/);
  t.regex(gone?.memory ?? '', /found no such process/);
  const here = await mayReadProcess(process.pid, PAGE);
  t.is(here?.pagemap, undefined);
  t.regex(here?.memory ?? '', /expected 4096 bytes at 0x1000, found nothing readable there/);
  await t.throwsAsync(changedPages(NOBODY, [{ address: 0, length: PAGE }], 'present'), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /there is none/,
  });
  await t.throwsAsync(changedPages(process.pid, [{ address: PAGE, length: PAGE }], 'present'), {
    code: 'ERR_MAPPED_RAM_TRUNCATED',
    message: /expected 4096 readable bytes at 0x1000, found nothing readable/,
  });
  using copy = await ProcessCopy.create(PAGE);
  await t.throwsAsync(copy.copy(process.pid, [{ address: PAGE, runs: Float64Array.of(0, PAGE) }]), {
    code: 'ERR_MAPPED_RAM_TRUNCATED',
    message: /expected 4096 bytes at 0x1000/,
  });
});

test('arguments that are none are refused before anything is read', async (t) => {
  const invalid = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' } as const;
  const { address } = await ownMemory();
  for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
    await t.throwsAsync(changedPages(pid, [], 'present'), { ...invalid, message: /pid/ });
    await t.throwsAsync(mayReadProcess(pid, 0), { ...invalid, message: /pid/ });
    await t.throwsAsync(saved({ process: { pid, address } }, 1), { ...invalid, message: /pid/ });
  }
  const range = { address, length: PAGE };
  await t.throwsAsync(changedPages(process.pid, [{ ...range, length: -1 }], 'present'), invalid);
  await t.throwsAsync(changedPages(process.pid, [{ ...range, address: 0.5 }], 'present'), invalid);
  for (const word of ['dirty', '']) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as a program without types may do
    const pages = word as 'present';
    await t.throwsAsync(changedPages(process.pid, [range], pages), { ...invalid, message: /present, data/ });
  }
  using copy = await ProcessCopy.create(PAGE);
  for (const runs of [[0], [PAGE, PAGE, 0, PAGE], [0, 0], [-1, 1], [0.5, 1]]) {
    const blocks = [{ address, runs: Float64Array.from(runs) }];
    await t.throwsAsync(copy.copy(process.pid, blocks), invalid, String(runs));
  }
  for (const threads of [0, 65, 1.5]) {
    await t.throwsAsync(copy.copy(process.pid, [], { threads }), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  }
  for (const unit of [0, -1, 1.5, 3 * PAGE]) {
    await t.throwsAsync(copy.copy(process.pid, [], { unit }), { ...invalid, message: /unit/ });
  }
  await t.throwsAsync(ProcessCopy.create(-1), invalid);
  await t.throwsAsync(ProcessCopy.create(2 ** 50), { code: 'ERR_MAPPED_RAM_IO', message: /making room/ });
});

test.serial('copies, scans and their errors leave nothing behind', async (t) => {
  const { address } = await ownMemory();
  const run = async (): Promise<void> => {
    for (let round = 0; round < 20; round += 1) {
      using copy = await ProcessCopy.create(2 ** 20);
      await copy.copy(process.pid, [{ address, runs: Float64Array.of(0, 4 * PAGE) }], { threads: 4 });
      await saved(copy.memory(0), 4);
      await changedPages(process.pid, [{ address, length: 4 * PAGE }], 'present');
      await t.throwsAsync(
        copy.copy(process.pid, [{ address: PAGE, runs: Float64Array.of(0, 8 * PAGE) }], { threads: 4 }),
      );
      await t.throwsAsync(changedPages(NOBODY, [], 'present'));
    }
  };
  await assertNoLeak(t, run, run);
});
