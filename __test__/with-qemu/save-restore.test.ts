import { readdir } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import type { Writer } from '../../ts/negotiate/request.ts';
import { save } from '../../ts/save/save.ts';
import { type GuestSetup, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { settings } from '../negotiate/carry-out.ts';
import { restoreGuest } from '../support/restored-guest.ts';

interface Memory extends Pick<GuestSetup, 'backend' | 'share'> {
  readonly title: string;
  /** The reason why the engine cannot write the memory; undefined when it can. */
  readonly refusal: RegExp | undefined;
}

/** The full product: every machine, number of blocks, kind of memory, writer and mode that go together. */
const PLAIN: Memory = {
  title: 'plain -m',
  refusal: /pc\.ram is not: memory-backend-ram has no file with a name/,
};
const MEMORIES: readonly Memory[] = [
  {
    title: 'memory-backend-ram',
    backend: 'ram',
    refusal: /m0 is not: memory-backend-ram has no file with a name/,
  },
  {
    title: 'memory-backend-memfd',
    backend: 'memfd',
    share: true,
    refusal: /m0 is not: memory-backend-memfd has no file with a name/,
  },
  {
    title: 'memory-backend-file, share=off',
    backend: 'file',
    refusal: /m0 is not: QEMU has a private copy of \S+\/m0\.ram \(share=off\)/,
  },
  { title: 'memory-backend-file, share=on', backend: 'file', share: true, refusal: undefined },
];

for (const machine of ['q35', 'pc']) {
  for (const numa of [false, true]) {
    for (const { title, refusal, ...memory } of numa ? MEMORIES : [PLAIN, ...MEMORIES]) {
      const setup: GuestSetup = { machine, numa, ...memory };
      const kind = `${machine}, ${numa ? 'two NUMA blocks' : 'one block'}, ${title}`;
      const writers: readonly Writer[] = refusal === undefined ? ['qemu', 'engine'] : ['qemu'];
      for (const writer of writers) {
        qemuTest(
          `a guest saved by ${writer} goes on in all modes, and so does the first: ${kind}`,
          async (t) => {
            await using dir = await temporaryDirectory();
            {
              await using guest = await startGuest(setup);
              await guest.waitForGenerations(2);
              if (refusal !== undefined) await assertNoEngine(t, guest, dir, refusal);
              await savesAndGoesOn(t, guest, dir, writer);
            }
            await restores(t, dir.file('guest.snapshot'), setup);
          },
        );
      }
    }
  }
}

async function savesAndGoesOn(
  t: ExecutionContext,
  guest: TestGuest,
  dir: TemporaryDirectory,
  writer: Writer,
): Promise<void> {
  const before = await settings(guest.qmp);
  // The guard has tests of its own, and its start takes longer than the save.
  const saved = await save(guest.qmp, dir.file('guest.snapshot'), { writer, guard: 'off' });
  t.like(saved, { writer, format: 'mapped-ram', verified: true, runState: 'running', warnings: [] });
  for (const block of guest.memoryBlocks) {
    t.true(
      saved.blocks.some(({ id }) => id === block),
      block,
    );
  }
  t.deepEqual(await readdir(dir.path), ['guest.snapshot']);
  t.deepEqual(await settings(guest.qmp), before);
  t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
  await guest.assertAlive();
}

async function restores(t: ExecutionContext, snapshot: string, setup: GuestSetup): Promise<void> {
  const saved = new Set<string>();
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(snapshot, setup, { mode, after: 'stop' });
    t.is(await guest.runState(), 'paused');
    const before = await guest.checkMemory();
    saved.add(JSON.stringify(before));
    const after = await guest.assertAlive();
    t.true(after.generation > before.generation, mode);
    t.deepEqual(guest.restored.warnings, []);
    t.deepEqual(await guest.qmp.execute('query-fdsets'), []);
  }
  t.is(saved.size, 1, `it goes on where it was saved in every mode: ${[...saved].join()}`);
}

/** Asserts that the engine is refused before anything changes: only QEMU can get at this memory. */
async function assertNoEngine(
  t: ExecutionContext,
  guest: TestGuest,
  dir: TemporaryDirectory,
  message: RegExp,
): Promise<void> {
  const refused = save(guest.qmp, dir.file('guest.snapshot'), { writer: 'engine' });
  const error = await t.throwsAsync(refused, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message });
  t.like(error, { rule: { rule: 'engine-memory-private' } });
  t.deepEqual(await readdir(dir.path), []);
  t.is(await guest.runState(), 'running');
}
