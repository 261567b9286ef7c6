import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { bench } from '../../../ts/bench/bench.ts';
import { findHugePages, hugePagePlaces } from '../../../ts/bench/ours/huge-pages.ts';
import { HUGE_PAGES_NAME } from '../../../ts/bench/ours/huge-page-contenders.ts';
import { runCli } from '../../cli/run-cli.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { withHugePages } from './huge-page-pool.ts';

const MIB = 2 ** 20;
const NO_QEMU = { env: { MAPPED_RAM_QEMU: '/nonexistent/qemu' } };
/** Twice 16 MiB, and a page to spare. */
const ENOUGH = 17;
process.env['MAPPED_RAM_QEMU'] = NO_QEMU.env.MAPPED_RAM_QEMU;

test.serial('memory in huge pages is saved and loaded, too, where there is room for it', async (t) => {
  await withHugePages(t, ENOUGH, async (mount) => {
    await using dir = await temporaryDirectory();
    const options = { directory: dir.path, rounds: 1, work: ['save', 'load', 'verify'] } as const;
    const report = await bench({ ...options, size: 16 * MIB, memory: ['half-zero'] });
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
    t.deepEqual(readdirSync(mount), []);
    t.deepEqual(readdirSync(dir.path), []);
  });
});

test.serial('a place has room for twice the memory, in whole pages', async (t) => {
  await withHugePages(t, 16, async (mount) => {
    const places = await hugePagePlaces();
    t.true(places.some(({ path, pageBytes }) => path === mount && pageBytes === 2 * MIB));
    const found = await findHugePages(16 * MIB);
    t.is('path' in found ? found.pageBytes : found.why, 2 * MIB);
    for (const [size, words] of [
      [18 * MIB, /MiB free in pages of 2 MiB, and 2 × 18 MiB are needed/],
      [15 * MIB, /has pages of 2 MiB, and 15 MiB are no whole number of them/],
    ] as const) {
      const none = await findHugePages(size);
      t.regex('why' in none ? none.why : none.path, words);
    }
  });
});

test.serial('a report says why memory in huge pages takes no part', async (t) => {
  await using dir = await temporaryDirectory();
  // More than the pools of most machines have: the test of a machine that has them is the other one.
  const { skipped, results } = await bench({
    directory: dir.path,
    size: 33 * MIB,
    rounds: 1,
    work: ['load'],
    transfer: { ioEngine: 'threads', directIo: 'off' },
  });
  const reason = skipped.find(({ name }) => name === HUGE_PAGES_NAME)?.reason ?? '';
  t.regex(reason, /no hugetlbfs is mounted that can be written to|no whole number|are needed/);
  t.false(results.some(({ contenders }) => contenders.some(({ name }) => name === HUGE_PAGES_NAME)));
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test.serial(`huge pages are free again after ${signal}, or after the next bench`, async (t) => {
    await withHugePages(t, ENOUGH, async (mount) => {
      await using dir = await temporaryDirectory();
      const args = ['bench', '--dir', dir.path, '--size', '16MiB', '--work'];
      const run = await runCli([...args, 'save'], {
        ...NO_QEMU,
        meanwhile: async (child) => {
          await untilUsed(mount, child);
          child.kill(signal);
        },
      });
      t.is(run.signal ?? run.code, signal === 'SIGINT' ? 130 : signal, run.stderr);
      const left = readdirSync(mount);
      t.is(left.length, signal === 'SIGINT' ? 0 : 1);
      const next = await runCli([...args, 'verify', '--rounds', '1'], NO_QEMU);
      t.is(next.code, 0, next.stderr);
      t.is(left.length > 0, next.stderr.includes(`${mount}/${left[0]}`), next.stderr);
      t.deepEqual(readdirSync(mount), []);
    });
  });
}

/** Waits until a bench has memory in huge pages, and a moment more. */
async function untilUsed(mount: string, child: ChildProcess): Promise<void> {
  while (readdirSync(mount, { recursive: true }).every((name) => !String(name).endsWith('guest.ram'))) {
    if (child.exitCode !== null) throw new Error(`the bench has ended already, with ${child.exitCode}`);
    await delay(5);
  }
  await delay(100);
}
