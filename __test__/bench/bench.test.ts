import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { bench } from '../../ts/bench/bench.ts';
import type { BenchOptions, BenchProgress } from '../../ts/bench/bench-options.ts';
import { BENCH_WORKS, type BenchWork } from '../../ts/bench/figures.ts';
import { HUGE_PAGES_NAME } from '../../ts/bench/ours/huge-page-contenders.ts';
import { assertTransferPossible } from '../../ts/bench/ours/assert-transfer.ts';
import { MappedRamError } from '../../ts/errors.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { benchFolders, workers } from './left-behind.ts';

const MIB = 2 ** 20;
const NO_QEMU = '/nonexistent/qemu';
const OURS: readonly BenchWork[] = BENCH_WORKS.filter((work) => work !== 'restore');
/** The least that measures: one round, and no QEMU, as a qemu that is asked for has to take part. */
const SMALL: BenchOptions = { size: 16 * MIB, rounds: 1 };
process.env['MAPPED_RAM_QEMU'] = NO_QEMU;

/** Runs `body` and asserts that no bench of this process has left anything. */
async function leavesNothing(t: ExecutionContext, body: (directory: string) => Promise<void>): Promise<void> {
  await using dir = await temporaryDirectory();
  await body(dir.path);
  t.deepEqual(await readdir(dir.path), []);
  t.deepEqual(benchFolders('/dev/shm', process.pid), []);
  t.deepEqual(workers(process.pid), []);
}

/** Kills the processes of this package's contenders when they begin to warm up. */
function killWorkers({ title, round }: BenchProgress): void {
  if (!title.startsWith('verify') || round !== 0) return;
  for (const pid of workers(process.pid)) process.kill(pid, 'SIGKILL');
}

test.serial('every work of this package is measured in every way, and every figure is there', async (t) => {
  await leavesNothing(t, async (directory) => {
    const report = await bench({ ...SMALL, directory, rounds: 2, work: OURS });
    t.is(report.schemaVersion, 1);
    t.deepEqual(
      report.results.map(({ work, memory, file }) => [work, memory, file]),
      OURS.map((work) => [work, 'random', 'cold']),
    );
    for (const { work, contenders } of report.results) {
      // Huge pages are the machine's: they have a test of their own.
      const ours = contenders.filter(
        ({ program, name }) => program === 'mapped-ram' && name !== HUGE_PAGES_NAME,
      );
      t.deepEqual(
        ours.map(({ name }) => name),
        ['', ' io_uring, direct', ' io_uring, buffered', ' threads, direct', ' threads, buffered'].map(
          (way) => `mapped-ram${way}`,
        ),
      );
      for (const { name, settings, rounds, isReference } of ours) {
        const what = `${work}, ${name}`;
        t.false(isReference);
        t.is(rounds.length, 2, what);
        for (const { milliseconds, bytes, dataBytes, cpuMs, peakBytes, idleBytes, ...counts } of rounds) {
          t.true(milliseconds > 0 && bytes === 16 * MIB && dataBytes === bytes, what);
          t.true((cpuMs ?? 0) > 0, what);
          t.true((peakBytes ?? 0) > (idleBytes ?? Number.NaN), what);
          t.true((counts.requests ?? 0) >= 16, what);
          const cached = (counts.pageCacheBytes ?? Number.NaN) / MIB;
          if (name.endsWith('direct')) t.true(cached < 4, `${what}: ${cached}`);
          if (name.endsWith('buffered')) t.true(cached >= 16, `${what}: ${cached}`);
        }
        if (name.includes('threads')) t.is(settings['ioEngine'], 'threads');
        t.is(typeof settings['directIoWhy'], 'string');
      }
    }
  });
});

test.serial('explicit options are for all ways, and leave out those that contradict', async (t) => {
  await leavesNothing(t, async (directory) => {
    const transfer = { ioEngine: 'threads', channels: 3, requestSize: 65536 } as const;
    const report = await bench({ ...SMALL, directory, work: ['verify'], transfer });
    const ours = report.results[0]?.contenders.filter(({ program }) => program === 'mapped-ram') ?? [];
    t.deepEqual(
      ours.map(({ name }) => name),
      ['mapped-ram', 'mapped-ram threads, direct', 'mapped-ram threads, buffered'],
    );
    for (const { settings, rounds } of ours) {
      t.like(settings, transfer);
      t.true((rounds[0]?.requests ?? 0) >= 256);
    }
    t.deepEqual(report.settings.transfer, transfer);
  });
});

test.serial('states and patterns are measured each, a save once', async (t) => {
  await leavesNothing(t, async (directory) => {
    const titles = new Set<string>();
    const report = await bench({
      ...SMALL,
      directory,
      memory: ['mostly-empty', 'scattered'],
      file: ['dirty', 'warm'],
      work: ['verify', 'save'],
      transfer: { ioEngine: 'threads', directIo: 'off' },
      onProgress: ({ title }: BenchProgress) => titles.add(title),
    });
    t.deepEqual(
      report.results.map(({ work, memory, file }) => `${work}, ${memory}, ${file}`),
      ['scattered', 'mostly-empty'].flatMap((memory) => [
        `save, ${memory}, cold`,
        `verify, ${memory}, warm`,
        `verify, ${memory}, dirty`,
      ]),
    );
    t.true(titles.has('make files, scattered') && titles.has('verify, mostly-empty, dirty'));
    for (const { contenders } of report.results) {
      const { bytes, dataBytes } = contenders[0]?.rounds[0] ?? { bytes: 0, dataBytes: 0 };
      t.true(dataBytes > 0 && dataBytes < 0.6 * bytes);
    }
  });
});

test.serial('several sizes are measured one after the other, for one report', async (t) => {
  await leavesNothing(t, async (directory) => {
    const sizes = [24 * MIB, 16 * MIB];
    const [titles, sizesThere] = [new Set<string>(), new Set<string>()];
    const report = await bench({
      directory,
      size: sizes,
      rounds: 2,
      work: ['save', 'verify'],
      transfer: { ioEngine: 'threads', directIo: 'off' },
      onProgress: ({ title }) => {
        titles.add(title);
        sizesThere.add(benchFolders('/dev/shm', process.pid).map(memorySize).join());
      },
    });
    t.deepEqual(report.settings.sizes, sizes);
    t.deepEqual(
      report.results.map(({ size, work }) => `${work} ${size / MIB}`),
      ['save 24', 'verify 24', 'save 16', 'verify 16'],
    );
    for (const { size, contenders } of report.results) {
      t.true(contenders.every(({ rounds }) => rounds.every(({ bytes }) => bytes === size)));
    }
    t.deepEqual([...titles].slice(0, 2), ['make files, random, 24 MiB', 'save, random, 24 MiB']);
    t.true(titles.has('verify, random, cold, 16 MiB'));
    t.deepEqual([...sizesThere].filter(Boolean).map(Number), sizes);
    const { skipped } = report;
    t.is(skipped.filter(({ work, name }) => work === 'save' && name === 'QEMU').length, sizes.length);
  });
});

/** Bytes of the guest's memory in a folder of a bench, where it is there. */
function memorySize(folder: string): string {
  const path = join('/dev/shm', folder, 'guest.ram');
  return existsSync(path) ? String(statSync(path).size) : '';
}

test.serial('an abort at any time ends the bench with its reason, and leaves nothing', async (t) => {
  for (const turn of [0, 1, 4, 9]) {
    await leavesNothing(t, async (directory) => {
      const abort = new AbortController();
      const reason = new Error('enough');
      let turns = 0;
      const onProgress = (): void => {
        if (turns === turn) setTimeout(() => abort.abort(reason), 5);
        turns += 1;
      };
      const options = { ...SMALL, size: 64 * MIB, directory, work: OURS, signal: abort.signal, onProgress };
      t.is(await t.throwsAsync(bench(options)), reason, `turn ${turn}`);
    });
  }
});

test.serial('a contender that fails ends the bench, with its name, and leaves nothing', async (t) => {
  await leavesNothing(t, async (directory) => {
    const options = { ...SMALL, directory, work: ['verify'], onProgress: killWorkers } as const;
    const error = await t.throwsAsync(bench(options), { instanceOf: MappedRamError });
    t.regex(error?.message ?? '', /^verify, random, cold: mapped-ram.* failed: .*SIGKILL/);
  });
});

/** Options that make no sense, and what the error names, expects and finds. */
const SENSELESS: readonly (readonly [options: object, words: RegExp])[] = [
  [{ size: 15 * MIB }, /size .*: expected whole MiB, at least 16 MiB/],
  [{ size: 16 * MIB + 4096 }, /size .*: expected whole MiB/],
  [{ size: [] }, /size/],
  [{ size: [16 * MIB, 15 * MIB] }, /size .*expected whole MiB/],
  [{ size: [16 * MIB, 17 * MIB, 16 * MIB] }, /size/],
  [{ size: Array.from({ length: 9 }, (_, index) => (16 + index) * MIB) }, /size/],
  [{ size: '16MiB' }, /size/],
  [{ size: null }, /size/],
  [{ rounds: 0 }, /rounds .*: expected a whole number from 1 to 99, found 0/],
  [{ rounds: 100 }, /rounds .*found 100/],
  [{ memory: [] }, /memory .*found an empty list/],
  [{ file: ['hot'] }, /file: expected cold, warm, dirty, found hot/],
  [{ work: 'save' }, /work .*: expected a list/],
  [{ directory: 7 }, /directory .*: expected a path, found 7/],
  [{ qemu: 7 }, /qemu .*: expected the name or path of a program, found 7/],
  [{ sweep: 'yes' }, /sweep .*: expected true or false, found "yes"/],
  [{ onProgress: 5 }, /onProgress .*: expected a function, found 5/],
  [{ transfer: 'fast' }, /transfer: expected an object/],
  [{ transfer: { chanels: 3 } }, /transfer: expected .*channels.*, found chanels/],
  [{ transfer: { ioEngine: 'uring' } }, /transfer\.ioEngine: expected .*threads.*, found uring/],
  [{ transfer: { channels: 0 } }, /transfer\.channels: expected a whole number from 1 to 64, found 0/],
  [{ transfer: { channels: 1.5 } }, /transfer\.channels: .*found 1\.5/],
  [{ transfer: { queueDepth: 'x' } }, /transfer\.queueDepth: expected .* 1 to 256, found "x"/],
  [{ transfer: { requestSize: 5000 } }, /transfer\.requestSize: expected .*multiple of 4096.*, found 5000/],
  [
    { qemu: NO_QEMU },
    /qemu .*there is no program .*expected a QEMU 9\.0 or later, found "\/nonexistent\/qemu"/,
  ],
  [{ qemu: '/bin/true' }, /qemu .*expected a QEMU 9\.0 or later, found "\/bin\/true"/],
  [{ qemu: '/bin/true', work: ['verify'] }, /qemu .*expected one of save, load, restore .*found verify/],
  [
    { sweep: true, work: ['verify', 'diff'] },
    /sweep .*: expected save or load among the works.*found verify, diff/,
  ],
  [
    { sweep: true, transfer: { ioEngine: 'threads', channels: 2, requestSize: 65536 } },
    /sweep .*all settings are given: expected one of channels.*found channels, requestSize, ioEngine/,
  ],
];

test.serial('options that make no sense are refused, by name, before anything is written', async (t) => {
  await leavesNothing(t, async (directory) => {
    for (const [wrong, words] of SENSELESS) {
      const seen: string[] = [];
      const onProgress = ({ title }: BenchProgress): number => seen.push(title);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a program without types may pass anything
      const options = { ...SMALL, directory, onProgress, ...wrong } as BenchOptions;
      const error = await t.throwsAsync(
        bench(options),
        { instanceOf: MappedRamError },
        JSON.stringify(wrong),
      );
      t.is(error?.code, 'ERR_MAPPED_RAM_INVALID_ARGUMENT', error?.message);
      t.regex(error?.message ?? '', words);
      t.deepEqual(seen, []);
    }
    await t.throwsAsync(bench({ ...SMALL, directory: join(directory, 'none') }), {
      code: 'ERR_MAPPED_RAM_IO',
    });
  });
});

test('an I/O engine and direct I/O that were asked for and are not to be had are refused in words', (t) => {
  const why = 'a seccomp profile hides it';
  const none = { ioUring: { available: false, why }, directIo: { available: false, why: 'it is ramfs' } };
  const found = { ...none, ioEngine: 'threads', usesDirectIo: false } as const;
  t.throws(() => assertTransferPossible({ ioEngine: 'io_uring' }, '/x', found), {
    code: 'ERR_MAPPED_RAM_ENGINE_UNAVAILABLE',
    message: /io_uring.*a seccomp profile hides it/,
  });
  t.throws(() => assertTransferPossible({ directIo: 'on' }, '/x', found), {
    code: 'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
    message: /\/x.*it is ramfs/,
  });
  t.notThrows(() => assertTransferPossible({ ioEngine: 'auto', directIo: 'auto' }, '/x', found));
  t.notThrows(() => assertTransferPossible({ ioEngine: 'threads', directIo: 'off' }, '/x', found));
});

test.serial('a bench without room says which folder, what is needed and what is there', async (t) => {
  await leavesNothing(t, async (directory) => {
    const error = await t.throwsAsync(bench({ ...SMALL, directory, size: [16 * MIB, 2 ** 50] }), {
      instanceOf: MappedRamError,
      code: 'ERR_MAPPED_RAM_IO',
    });
    t.is(error?.path, directory);
    t.regex(String(error?.expected), /^\d+(?:\.\d)? GiB free$/);
    t.regex(String(error?.found), /^\d+(?:\.\d)? [MG]iB$/);
  });
});
