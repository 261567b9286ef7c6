import { spawnSync } from 'node:child_process';
import { readdir, truncate } from 'node:fs/promises';

import test from 'ava';

import type { Contender } from '../../../ts/bench/contender.ts';
import { findFio } from '../../../ts/bench/others/find-fio.ts';
import { fioRead, fioWrite, type FioWay } from '../../../ts/bench/others/fio.ts';
import { findBenchQemu, type UsableQemu } from '../../../ts/bench/others/bench-qemu.ts';
import { HUGE_PAGES_NAME } from '../../../ts/bench/ours/huge-page-contenders.ts';
import { otherContenders } from '../../../ts/bench/others/make-others.ts';
import { qemuLoads } from '../../../ts/bench/others/qemu-load.ts';
import { qemuSaves } from '../../../ts/bench/others/qemu-save.ts';
import type { BenchReport } from '../../../ts/bench/report.ts';
import { whyNoRestore } from '../../../ts/bench/restore/restore-contenders.ts';
import { BIN } from '../../cli/run-cli.ts';
import { QEMU_AARCH64_BINARY, QEMU_BINARY } from '../../support/qemu-binary.ts';
import { aarch64Test, qemuTest } from '../../support/qemu-required.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { round, SIZE, withFiles } from './with-files.ts';

const { signal } = new AbortController();
const THERE = { available: true };
const NOT_THERE = { available: false, why: 'planted' };
/** What a probe finds where there is everything. */
const ALL = { ioUring: THERE, directIo: THERE, ioEngine: 'io_uring', usesDirectIo: true } as const;

const fioTest = spawnSync('fio', ['--version']).status === 0 ? test.serial : test.serial.skip;

async function usable(binary: string): Promise<UsableQemu> {
  const found = await findBenchQemu(binary, '/dev/shm', signal);
  if ('why' in found) throw new Error(found.why);
  return found;
}

fioTest('fio takes psync and the page cache where there is nothing better, and says why', async (t) => {
  t.deepEqual(await findFio('.', signal, ALL), {
    ways: [
      { ioEngine: 'io_uring', isDirect: true },
      { ioEngine: 'io_uring', isDirect: false },
    ],
    leftOut: [],
  });
  const withoutRing = await findFio('.', signal, { ...ALL, ioUring: NOT_THERE });
  t.deepEqual(withoutRing, {
    ways: [
      { ioEngine: 'psync', isDirect: true },
      { ioEngine: 'psync', isDirect: false },
    ],
    leftOut: [{ name: 'fio with io_uring', reason: 'no io_uring: planted' }],
  });
  t.deepEqual(await findFio('.', signal, { ...ALL, ioUring: NOT_THERE, directIo: NOT_THERE }), {
    ways: [{ ioEngine: 'psync', isDirect: false }],
    leftOut: [
      { name: 'fio with io_uring', reason: 'no io_uring: planted' },
      { name: 'fio with direct I/O', reason: 'no direct I/O here: planted' },
    ],
  });
});

fioTest('every way of fio writes and reads, and its name and settings tell it', async (t) => {
  const ways: readonly (readonly [FioWay, string, number])[] = [
    [{ ioEngine: 'psync', isDirect: true }, 'fio, psync', 1],
    [{ ioEngine: 'psync', isDirect: false }, 'fio, psync, buffered', 1],
    [{ ioEngine: 'io_uring', isDirect: false }, 'fio, buffered', 16],
    [{ ioEngine: 'io_uring', isDirect: true }, 'fio', 16],
  ];
  await withFiles(t, 'half-zero', async (files) => {
    for (const [way, name, queueDepth] of ways) {
      for (const contender of [fioWrite(files, way), fioRead(files, 'cold', way)]) {
        await using running = contender;
        t.is(running.name, name);
        t.like(running.settings, { ioEngine: way.ioEngine, directIo: way.isDirect, queueDepth });
        await round(t, running, files, signal);
      }
    }
  });
});

test.serial('the plain reader of a comparison reads both files, that of a check the snapshot', async (t) => {
  await withFiles(t, 'random', async (files) => {
    // A reader that comes to the end of a file too early says so.
    await truncate(files.memory, SIZE - 4096);
    for (const work of ['verify', 'diff'] as const) {
      const reader = (await otherContenders()[work](files, 'cold', signal)).contenders.find(
        ({ program }) => program === 'copy',
      );
      if (reader === undefined) throw new Error(`${work} has no reader`);
      await using running = reader;
      await running.prepare(signal);
      if (work === 'verify') await t.notThrowsAsync(running.run(signal));
      else await t.throwsAsync(running.run(signal), { message: /ended early/ });
    }
    await truncate(files.memory, SIZE);
  });
});

async function compete(
  contenders: readonly Contender[],
  body: (one: Contender) => Promise<void>,
): Promise<void> {
  for (const contender of contenders) await body(contender);
  for (const contender of contenders) await contender[Symbol.asyncDispose]();
}

qemuTest(
  'QEMU uses the page cache where it has no direct I/O, and its name and settings say so',
  async (t) => {
    const found = { ...(await usable(QEMU_BINARY)), whyNotDirect: 'planted' };
    await withFiles(t, 'half-zero', async (files) => {
      for (const contenders of [qemuSaves(files, found), qemuLoads(files, 'cold', found)]) {
        t.deepEqual(
          contenders.map(({ name, settings }) => [name, settings['directIo']]),
          [2, 4, 8].map((channels) => [`QEMU × ${channels}, buffered`, false]),
        );
        await compete(contenders.slice(0, 1), (one) => round(t, one, files, signal));
        for (const contender of contenders) await contender[Symbol.asyncDispose]();
      }
    });
  },
);

aarch64Test('a QEMU with other guests saves and loads, too, and restores nothing', async (t) => {
  const found = await usable(QEMU_AARCH64_BINARY);
  t.is(found.target, 'aarch64');
  await withFiles(t, 'half-zero', async (files) => {
    const [saves, loads] = [qemuSaves(files, found), qemuLoads(files, 'cold', found)];
    await compete(saves, (one) => round(t, one, files, signal));
    await compete(loads, (one) => round(t, one, files, signal));
  });
  t.regex(whyNoRestore('aarch64') ?? '', /x86.*aarch64/);
  t.is(whyNoRestore('x86_64'), undefined);
});

/** Runs the command in a namespace of its own, with a filesystem without direct I/O on a directory; undefined where that is not allowed. */
function benchOnRamfs(
  directory: string,
  ...args: readonly string[]
): ReturnType<typeof spawnSync> | undefined {
  const script = 'mount -t ramfs none "$1" && dir=$1 && shift && exec "$@" --dir "$dir"';
  const unshared = ['--mount', ...(process.geteuid?.() === 0 ? [] : ['--map-root-user'])];
  const may = spawnSync('unshare', [...unshared, 'sh', '-c', 'mount -t ramfs none "$1"', 'sh', directory]);
  if (may.status !== 0) return undefined;
  return spawnSync(
    'unshare',
    [...unshared, 'sh', '-c', script, 'sh', directory, process.execPath, BIN, 'bench', ...args],
    { encoding: 'utf8', env: { ...process.env, MAPPED_RAM_QEMU: QEMU_BINARY } },
  );
}

qemuTest(
  'where a filesystem refuses O_DIRECT, all references take part, and a wish for it is refused',
  async (t) => {
    await using dir = await temporaryDirectory();
    const small = ['--size', '16MiB', '--rounds', '1', '--json', '--quiet'];
    const run = benchOnRamfs(dir.path, ...small, '--work', 'save,verify');
    if (run === undefined) {
      t.log('skipped: no filesystem may be mounted');
      t.pass();
      return;
    }
    const report: BenchReport = JSON.parse(String(run.stdout));
    t.is(run.status, 0, String(run.stderr));
    t.deepEqual(
      report.results.map(({ contenders }) =>
        contenders.flatMap(({ name, isReference }) => (isReference ? [name] : [])),
      ),
      [
        ['fio, buffered', 'copy', 'QEMU × 2, buffered', 'QEMU × 4, buffered', 'QEMU × 8, buffered'],
        ['fio, buffered', 'copy'],
      ],
    );
    // The machine may have huge pages to give, or not.
    const skipped = new Set(
      report.skipped.map(({ name }) => name).filter((name) => name !== HUGE_PAGES_NAME),
    );
    t.deepEqual([...skipped].toSorted(), [
      'QEMU with direct I/O',
      'fio with direct I/O',
      'mapped-ram io_uring, direct',
      'mapped-ram threads, direct',
    ]);
    const refused = benchOnRamfs(dir.path, ...small, '--work', 'verify', '--direct-io', 'on');
    t.is(refused?.status, 1);
    const { error }: { readonly error: { readonly code: string } } = JSON.parse(String(refused?.stdout));
    t.is(error.code, 'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE');
    t.deepEqual(await readdir(dir.path), []);
  },
);
