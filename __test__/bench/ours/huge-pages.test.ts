import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { HUGE_PAGES_NAME } from '../../../ts/bench/ours/huge-page-contenders.ts';
import { findHugePages } from '../../../ts/bench/ours/huge-pages.ts';
import type { BenchReport } from '../../../ts/bench/report.ts';
import { type CliOptions, runCli } from '../../cli/run-cli.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { type HugePageMount, withHugePages } from './huge-page-pool.ts';

const MIB = 2 ** 20;
/** Pages of 2 MiB for twice 16 MiB. */
const ENOUGH = 16;
const NO_QEMU = { env: { MAPPED_RAM_QEMU: '/nonexistent/qemu' } };

function bench(
  directory: string,
  size: string,
  work: string,
  options: CliOptions,
): ReturnType<typeof runCli> {
  const args = ['bench', '--dir', directory, '--size', size, '--memory', 'half-zero', '--rounds', '1'];
  return runCli([...args, '--work', work, '--json'], { ...NO_QEMU, ...options });
}

test.serial('memory in huge pages is saved and loaded, too, where there is room for it', async (t) => {
  await withHugePages(t, ENOUGH, async ({ within, entries }) => {
    await using dir = await temporaryDirectory();
    const run = await bench(dir.path, '16MiB', 'save,load,verify', { within });
    t.is(run.code, 0, run.stdout);
    const report: BenchReport = JSON.parse(run.stdout);
    const [save, load, verify] = report.results.map(({ contenders }) =>
      contenders.find(({ name }) => name === HUGE_PAGES_NAME),
    );
    t.is(verify, undefined);
    for (const contender of [save, load]) {
      t.like(contender, { program: 'mapped-ram', isReference: false });
      t.is(contender?.settings['hugePageBytes'], 2 * MIB);
      t.like(contender?.rounds[0], { bytes: 16 * MIB, dataBytes: 8 * MIB });
    }
    t.false(report.skipped.some(({ name }) => name === HUGE_PAGES_NAME));
    t.deepEqual(entries(), []);
    t.deepEqual(readdirSync(dir.path), []);
  });
});

for (const [size, words] of [
  ['18MiB', /has 32 MiB free in pages of 2 MiB, and 2 × 18 MiB are needed/],
  ['17MiB', /has pages of 2 MiB, and 17 MiB are no whole number of them/],
] as const) {
  test.serial(`memory of ${size} does not fit, and the report says why`, async (t) => {
    await withHugePages(t, ENOUGH, async ({ path, within }) => {
      await using dir = await temporaryDirectory();
      const run = await bench(dir.path, size, 'load', { within });
      t.is(run.code, 0, run.stdout);
      const { skipped, results }: BenchReport = JSON.parse(run.stdout);
      const reason = skipped.find(({ name }) => name === HUGE_PAGES_NAME)?.reason ?? '';
      t.regex(reason, words);
      t.true(reason.includes(path), reason);
      t.false(results.some(({ contenders }) => contenders.some(({ name }) => name === HUGE_PAGES_NAME)));
    });
  });
}

test('a machine without room has a reason in words', async (t) => {
  const found = await findHugePages(2 ** 50);
  t.regex('why' in found ? found.why : '', /no hugetlbfs is mounted that can be written to|are needed/);
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test.serial(`huge pages are free again after ${signal}, or after the next bench`, async (t) => {
    await withHugePages(t, ENOUGH, async (mount) => {
      const { path, within, entries } = mount;
      await using dir = await temporaryDirectory();
      const run = await bench(dir.path, '16MiB', 'save', {
        within,
        meanwhile: async (child) => {
          await untilUsed(mount, child);
          child.kill(signal);
        },
      });
      t.is(run.signal ?? run.code, signal === 'SIGINT' ? 130 : signal, run.stderr);
      const folder = entries().find((name) => !name.includes('/'));
      t.is(folder === undefined, signal === 'SIGINT');
      const next = await bench(dir.path, '16MiB', 'verify', { within });
      t.is(next.code, 0, next.stderr);
      t.is(folder !== undefined, next.stderr.includes(`${path}/${folder}`), next.stderr);
      t.deepEqual(entries(), []);
    });
  });
}

/** Waits until a bench has memory in huge pages, and a moment more. */
async function untilUsed({ entries }: HugePageMount, child: ChildProcess): Promise<void> {
  while (entries().every((name) => !name.endsWith('guest.ram'))) {
    if (child.exitCode !== null) throw new Error(`the bench has ended already, with ${child.exitCode}`);
    await delay(5);
  }
  await delay(50);
}
