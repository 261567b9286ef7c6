import { readdir } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import type { BenchFiles, ContenderSet } from '../../../ts/bench/contender.ts';
import { FILE_STATES, type FileState } from '../../../ts/bench/figures.ts';
import { makeBenchFiles } from '../../../ts/bench/files.ts';
import { restoreContenders } from '../../../ts/bench/restore/restore-contenders.ts';
import { QEMU_BINARY } from '../../support/qemu-binary.ts';
import { qemuTest } from '../../support/qemu-required.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { runningWith } from '../running-with.ts';

const MIB = 2 ** 20;
const NAMES = [
  'instant',
  'instant, working set',
  'preload',
  'lazy',
  'lazy, working set',
  'eager',
  'QEMU × 4',
];

/** Makes the contenders, runs the test with them, and sees to it that files and processes are gone. */
async function withContenders(
  t: ExecutionContext,
  { size, state, qemu }: { readonly size: number; readonly state: FileState; readonly qemu: string },
  body: (set: ContenderSet, files: BenchFiles) => Promise<void>,
): Promise<void> {
  await using disk = await temporaryDirectory();
  await using shared = await temporaryDirectory('/dev/shm');
  const { signal } = new AbortController();
  const places = { directory: disk.path, memoryDirectory: shared.path };
  {
    await using files = await makeBenchFiles({ pattern: 'half-zero', size, ...places, signal });
    const before = new Set([...(await readdir(files.directory)), ...(await readdir(files.memoryDirectory))]);
    const set = await restoreContenders({ qemu })(files, state, signal);
    try {
      await body(set, files);
    } finally {
      for (const contender of set.contenders) await contender[Symbol.asyncDispose]();
    }
    const after = [...(await readdir(files.directory)), ...(await readdir(files.memoryDirectory))];
    t.deepEqual(
      after.filter((name) => !before.has(name) && name !== 'walker.img'),
      [],
    );
  }
  t.deepEqual(runningWith(disk.path), []);
  t.deepEqual(runningWith(shared.path), []);
}

for (const state of FILE_STATES) {
  qemuTest(
    `every way of restoring lets the guest walk its working set, from a file that is ${state}`,
    async (t) => {
      await withContenders(
        t,
        { size: 64 * MIB, state, qemu: QEMU_BINARY },
        async ({ contenders, skipped }, files) => {
          t.deepEqual(skipped, []);
          t.deepEqual(
            contenders.map(({ name }) => name),
            NAMES,
          );
          t.deepEqual(
            contenders.map(({ isReference }) => isReference),
            [false, false, false, false, false, false, true],
          );
          t.deepEqual(
            contenders.map(({ settings }) => settings['mapsSnapshot']),
            [true, true, false, false, false, false, undefined],
          );
          const { signal } = new AbortController();
          for (const contender of contenders) {
            await contender.prepare(signal);
            const figures = await contender.run(signal);
            const words = `${contender.name}: ${JSON.stringify(figures)}`;
            t.log(words);
            t.is(figures.bytes, files.size);
            // Half of the memory holds data, and so does what the guest has rewritten, a quarter of it, but for an eighth.
            t.true(figures.dataBytes > 32 * MIB && figures.dataBytes < 64 * MIB, words);
            const { running = Number.NaN, started, ...others } = figures.moments ?? {};
            t.true(running > 0 && running < figures.milliseconds, words);
            t.deepEqual(others, {});
            // What a new QEMU takes by itself is what is like `instant` in a baseline.
            if (contender.isReference) t.true((started ?? Number.NaN) < running, words);
            else t.is(started, undefined);
            // The process that serves the pages of a lazy restore is not metered.
            if (contender.settings['mode'] === 'lazy') t.is(figures.cpuMs, undefined);
            else t.true((figures.cpuMs ?? 0) > 0, words);
            t.is(contender.settings['workingSetBytes'], 16 * MIB);
          }
        },
      );
    },
  );
}

test.serial(
  'without QEMU, or with too little memory, nobody takes part, and the reason is said',
  async (t) => {
    for (const [setup, reason] of [
      [{ size: 64 * MIB, qemu: '/no/such/qemu' }, /no program/],
      [{ size: 16 * MIB, qemu: QEMU_BINARY }, /at least 64 MiB/],
    ] as const) {
      await withContenders(t, { ...setup, state: 'cold' }, async ({ contenders, skipped }) => {
        t.deepEqual(contenders, []);
        t.deepEqual(
          skipped.map(({ name }) => name),
          NAMES,
        );
        for (const one of skipped) t.regex(one.reason, reason);
      });
    }
  },
);

qemuTest('an abort in a restore leaves nothing', async (t) => {
  await withContenders(t, { size: 64 * MIB, state: 'cold', qemu: QEMU_BINARY }, async ({ contenders }) => {
    for (const contender of contenders) {
      for (const after of [5, 150, 300]) {
        const control = new AbortController();
        const planted = new Error('planted');
        await contender.prepare(control.signal);
        setTimeout(() => control.abort(planted), after);
        const ended = await contender.run(control.signal).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (ended !== undefined) t.is(ended, planted, `${contender.name} after ${after} ms`);
      }
    }
  });
});
