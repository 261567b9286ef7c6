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
}

/** The full product: every machine, number of blocks, kind of memory, writer and mode. */
const PLAIN: Memory = { title: 'plain -m' };
const MEMORIES: readonly Memory[] = [
  { title: 'memory-backend-ram', backend: 'ram' },
  { title: 'memory-backend-memfd', backend: 'memfd', share: true },
  { title: 'memory-backend-file, share=off', backend: 'file' },
  { title: 'memory-backend-file, share=on', backend: 'file', share: true },
];
const WRITERS: readonly Writer[] = ['qemu', 'engine'];

for (const machine of ['q35', 'pc']) {
  for (const numa of [false, true]) {
    for (const { title, ...memory } of numa ? MEMORIES : [PLAIN, ...MEMORIES]) {
      const setup: GuestSetup = { machine, numa, ...memory };
      const kind = `${machine}, ${numa ? 'two NUMA blocks' : 'one block'}, ${title}`;
      for (const writer of WRITERS) {
        qemuTest(
          `a guest saved by ${writer} goes on in all modes, and so does the first: ${kind}`,
          async (t) => {
            await using dir = await temporaryDirectory();
            {
              await using guest = await startGuest(setup);
              await guest.waitForGenerations(2);
              const isCapture = await savesAndGoesOn(t, guest, dir, writer);
              t.is(isCapture, writer === 'engine');
            }
            await restores(t, dir.file('guest.snapshot'), setup);
          },
        );
      }
    }
  }
}

/** @returns whether the guest was taken out of QEMU's process */
async function savesAndGoesOn(
  t: ExecutionContext,
  guest: TestGuest,
  dir: TemporaryDirectory,
  writer: Writer,
): Promise<boolean> {
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
  return saved.capture !== undefined;
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
