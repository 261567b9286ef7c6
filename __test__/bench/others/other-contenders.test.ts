import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { FILE_STATES, MEMORY_PATTERNS, type FileState } from '../../../ts/bench/figures.ts';
import { whyNoFio } from '../../../ts/bench/others/find-fio.ts';
import { otherContenders } from '../../../ts/bench/others/make-others.ts';
import { round, SIZE, withFiles } from './with-files.ts';
import { unpack } from '../../../ts/pack/unpack.ts';
import { Snapshot } from '../../../ts/snapshot/snapshot.ts';
import { runningWith } from '../running-with.ts';
import { QEMU_BINARY } from '../../support/qemu-binary.ts';
import { qemuTest } from '../../support/qemu-required.ts';

const NO_QEMU = { qemu: '/no/such/qemu' };

for (const pattern of MEMORY_PATTERNS) {
  test.serial(`fio and the copy take part in everything, with memory that is ${pattern}`, async (t) => {
    await withFiles(t, pattern, async (files, signal) => {
      const others = otherContenders(NO_QEMU);
      for (const work of ['save', 'load', 'verify', 'diff'] as const) {
        const { contenders, skipped } = await others[work](files, 'cold', signal);
        for (const contender of contenders) {
          await using running = contender;
          await round(t, running, files, signal);
        }
        const isFound = (await whyNoFio(files.directory, signal)) === undefined;
        t.is(
          contenders.filter(({ program }) => program === 'fio').length,
          isFound ? (work === 'load' ? 2 : 1) : 0,
        );
        t.is(
          skipped.some(({ name }) => name === 'fio'),
          !isFound,
        );
        const hasQemu = work === 'save' || work === 'load';
        t.deepEqual(
          contenders.flatMap(({ name, program }) => (program === 'copy' ? [name] : [])),
          ['copy'],
        );
        t.regex(skipped.find(({ name }) => name === 'QEMU')?.reason ?? '', hasQemu ? /no program/ : /^$/);
      }
    });
  });
}

qemuTest('QEMU saves and loads the memory by itself', async (t) => {
  await withFiles(t, 'half-zero', async (files, signal) => {
    const others = otherContenders({ qemu: QEMU_BINARY });
    const { contenders: saves } = await others.save(files, 'cold', signal);
    const { contenders: loads } = await others.load(files, 'cold', signal);
    for (const contender of [...saves, ...loads].filter(({ program }) => program === 'qemu')) {
      await round(t, contender, files, signal);
      await round(t, contender, files, signal);
    }
    for (const contender of [...saves, ...loads]) await contender[Symbol.asyncDispose]();
    const saved = join(files.directory, 'qemu.mr');
    await using snapshot = await Snapshot.open(saved);
    t.is(snapshot.completeRam().blocks.find(({ id }) => id === files.block)?.length, SIZE);
    const unpacked = join(files.memoryDirectory, 'unpacked');
    await unpack(saved, { ram: { [files.block]: unpacked } });
    t.true((await readFile(unpacked)).equals(await readFile(files.memory)));
    await rm(unpacked);
  });
});

const READ_STATES: readonly FileState[] = FILE_STATES.filter((state) => state !== 'cold');
for (const state of READ_STATES) {
  qemuTest(`a file that is ${state} is read by all`, async (t) => {
    await withFiles(t, 'random', async (files, signal) => {
      const { contenders } = await otherContenders({ qemu: QEMU_BINARY }).load(files, state, signal);
      for (const contender of contenders) {
        await using running = contender;
        await round(t, running, files, signal);
      }
    });
  });
}

qemuTest('an abort between, before and in rounds leaves nothing', async (t) => {
  for (const work of ['save', 'load'] as const) {
    await withFiles(t, 'random', async (files, signal) => {
      const { contenders } = await otherContenders({ qemu: QEMU_BINARY })[work](files, 'cold', signal);
      for (const contender of contenders) {
        for (const inRun of [false, true]) {
          const control = new AbortController();
          const planted = new Error('planted');
          if (inRun) await contender.prepare(control.signal);
          const part = inRun ? contender.run(control.signal) : contender.prepare(control.signal);
          setTimeout(() => control.abort(planted), inRun ? 1 : 150);
          const ended = await part.then(
            () => undefined,
            (error: unknown) => error,
          );
          // A short round may be over before.
          if (ended !== undefined) t.is(ended, planted, contender.name);
        }
        await contender[Symbol.asyncDispose]();
      }
    });
  }
});

test.serial('a program that fails says why, and leaves nothing', async (t) => {
  await withFiles(t, 'random', async (files, signal) => {
    const { contenders } = await otherContenders(NO_QEMU).load(files, 'warm', signal);
    await rm(files.snapshot);
    for (const contender of contenders) {
      await t.throwsAsync(contender.prepare(signal), { code: 'ERR_MAPPED_RAM_IO' }, contender.name);
      await contender[Symbol.asyncDispose]();
    }
    t.false(existsSync(files.snapshot));
  });
});

qemuTest('a QEMU that is killed makes its round fail, and leaves nothing', async (t) => {
  for (const work of ['save', 'load'] as const) {
    await withFiles(t, 'random', async (files, signal) => {
      const { contenders } = await otherContenders({ qemu: QEMU_BINARY })[work](files, 'cold', signal);
      const qemu = contenders.find(({ program }) => program === 'qemu');
      if (qemu === undefined) throw new Error('QEMU does not take part');
      await qemu.prepare(signal);
      const victims = runningWith(files.memoryDirectory);
      t.is(victims.length, 1);
      for (const { pid } of victims) process.kill(pid, 'SIGKILL');
      await t.throwsAsync(qemu.run(signal), { code: 'ERR_MAPPED_RAM_QEMU' });
      for (const contender of contenders) await contender[Symbol.asyncDispose]();
    });
  }
});
