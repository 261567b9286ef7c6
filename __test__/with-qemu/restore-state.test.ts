import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { saveTo } from '../support/plain-migration.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import type { AfterRestore } from '../../ts/restore/run-state.ts';
import { pagesOf } from '../../ts/pages/bitmap-reader.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { testPage } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';

const STATES: readonly { readonly after: AfterRestore; readonly stopped: string; readonly live: string }[] = [
  { after: 'cont', stopped: 'running', live: 'running' },
  { after: 'stop', stopped: 'paused', live: 'paused' },
  { after: 'as-saved', stopped: 'paused', live: 'running' },
];

qemuTest('the guest runs, stays stopped, or does what it did when it was saved', async (t) => {
  await using dir = await temporaryDirectory();
  const [stopped, live] = [dir.file('stopped'), dir.file('live')];
  await saveGuest({}, stopped);
  await saveLive(live);
  for (const mode of MODE_NAMES) {
    for (const expected of STATES) {
      const { after } = expected;
      await using first = await restoreGuest(stopped, {}, { mode, after });
      t.is(first.restored.runState, expected.stopped, `saved stopped, ${mode}, ${after}`);
      t.is(await first.runState(), expected.stopped);
      await using second = await restoreGuest(live, {}, { mode, after });
      t.is(second.restored.runState, expected.live, `saved running, ${mode}, ${after}`);
      t.is(await second.runState(), expected.live);
    }
  }
});

qemuTest('a guest that was told to wait (-S) waits, unless the caller says otherwise', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveLive(snapshot);
  await using waiting = await restoreGuest(snapshot, { extraArgs: ['-S'] }, {});
  t.is(await waiting.runState(), 'paused');
  t.is(waiting.serial(), '', 'it has not run for a moment');
  await using running = await restoreGuest(snapshot, { extraArgs: ['-S'] }, { after: 'cont' });
  t.is(await running.runState(), 'running');
});

qemuTest('what a live save leaves behind in place of zero pages is not seen by the guest', async (t) => {
  await using dir = await temporaryDirectory();
  const snapshot = dir.file('guest.snapshot');
  await saveGuest({}, snapshot);
  const spoiled = await spoilZeroPages(t, snapshot);
  for (const mode of MODE_NAMES) {
    await using guest = await restoreGuest(snapshot, {}, { mode, after: 'stop' });
    const memory = await guest.readBlock('pc.ram', spoiled, 4096);
    t.true(
      memory.every((byte) => byte === 0),
      mode,
    );
    await guest.checkMemory();
    await guest.assertAlive();
  }
});

async function saveLive(path: string): Promise<void> {
  await using guest = await startGuest({});
  await guest.waitForGenerations(2);
  await saveTo(guest.qmp, `file:${path}`, { multifd: true, channels: 2 });
}

/** Writes into the places of zero pages in the file, as QEMU does while the guest runs. @returns the offset of one */
async function spoilZeroPages(t: ExecutionContext, path: string): Promise<number> {
  await using snapshot = await Snapshot.open(path);
  const block = snapshot.completeRam().blocks.find(({ id }) => id === 'pc.ram');
  assert(block !== undefined);
  const clear: number[] = [];
  for await (const { page, isSet } of pagesOf(snapshot.reader, block)) if (!isSet) clear.push(page * 4096);
  await using file = await open(path, 'r+');
  const spoiled = clear.filter((_, index) => index % 7 === 0);
  t.true(spoiled.length > 500);
  for (const offset of spoiled) await file.write(testPage(offset), 0, 4096, block.area.pagesOffset + offset);
  return spoiled[400] ?? 0;
}
