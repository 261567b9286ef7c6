import { setTimeout as delay } from 'node:timers/promises';
import { stat } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { dropPageCache } from '../../ts/engine/page-cache.ts';
import { MappedRamError, save } from '../../ts/index.ts';
import type { PostcopyOptions } from '../../ts/restore/postcopy/postcopy-options.ts';
import { untilNoPageServer } from '../restore/lazy-servers.ts';
import { assertMemory } from '../save/captured-guest.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { LoopVolume } from '../support/loop-volume.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';

// The file under a lazy restore, on a disk of its own.

const SETUP: GuestSetup = { memoryMiB: 128, region: { start: 16 * MIB, length: 16 * MIB } };
const VOLUME_MIB = 400;
const SERVERS = ['process', 'caller'] as const;

/** Runs `body` with a snapshot on a disk of its own, none of which is in the page cache. */
async function onVolume(
  t: ExecutionContext,
  body: (path: string, volume: LoopVolume) => Promise<void>,
): Promise<void> {
  const volume = await LoopVolume.mount('xfs', VOLUME_MIB);
  if (volume === undefined) {
    t.pass();
    return;
  }
  // Its disposal fails when somebody has the file still.
  await using _ = volume;
  const path = volume.file('guest.mr');
  {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(2);
    await guest.stop();
    await save(guest.qmp, path, { writer: 'engine' });
  }
  await dropPageCache(path);
  await body(path, volume);
  t.deepEqual(await untilNoPageServer(), []);
}

/** Restores one guest, and returns what lets it prove its memory. */
async function restoredClone(
  t: ExecutionContext,
  path: string,
  index: number,
): Promise<AsyncDisposable & { readonly prove: () => Promise<void> }> {
  const server = SERVERS[index % 2];
  const after = index % 4 < 2 ? 'stop' : 'cont';
  const guest = await restoreGuest(path, SETUP, { mode: 'lazy', after, postcopy: { server } });
  const what = `guest ${index}, ${server}, ${after}`;
  return {
    prove: async () => {
      t.is((await guest.restored.memoryComplete)?.takeOvers, 0, what);
      if (after === 'stop') await assertMemory(t, guest, path, what);
      await guest.cont();
      await guest.waitForGenerations(2);
      await guest.checkMemory();
    },
    [Symbol.asyncDispose]: () => guest.close(),
  };
}

async function cloneMany(t: ExecutionContext, path: string, count: number): Promise<void> {
  const clones = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => restoredClone(t, path, index)),
  );
  const restored = clones.flatMap((clone) => (clone.status === 'fulfilled' ? [clone.value] : []));
  try {
    for (const clone of clones) if (clone.status === 'rejected') throw clone.reason;
    for (const { prove } of restored) await prove();
  } finally {
    for (const clone of restored) await clone[Symbol.asyncDispose]();
  }
}

qemuTest('twenty guests get their memory of one file at once, which is read once', async (t) => {
  await onVolume(t, async (path, volume) => {
    const blocks = (await stat(path)).blocks * 512;
    await assertNoLeak(
      t,
      () => cloneMany(t, path, 2),
      async () => {
        await dropPageCache(path);
        const before = await volume.bytesRead();
        await cloneMany(t, path, 20);
        const bytes = (await volume.bytesRead()) - before;
        t.log(`${blocks} bytes on the disk, ${bytes} were read`);
        t.true(bytes > 0.8 * blocks && bytes < 1.2 * blocks + MIB, `${bytes} bytes of ${blocks}`);
      },
    );
  });
});

const WAYS: readonly (readonly [string, PostcopyOptions])[] = SERVERS.flatMap((server) => [
  ['a page that the guest waits for', { server, push: 'off' }],
  ['pages that are pushed', { server, maxBandwidth: 20 * MIB }],
]);

for (const [title, postcopy] of WAYS) {
  qemuTest(`a disk that fails under ${title} is named, no zeros come: ${JSON.stringify(postcopy)}`, (t) =>
    onVolume(t, async (path, volume) => {
      await using guest = await restoreGuest(path, SETUP, { mode: 'lazy', after: 'stop', postcopy });
      await volume.loseDisk();
      await dropPageCache(path);
      await guest.cont();
      const error = await t.throwsAsync(guest.restored.memoryComplete, { instanceOf: MappedRamError });
      t.is(error.code, 'ERR_MAPPED_RAM_IO');
      t.like(error.cause, { code: 'EIO' });
      t.regex(error.message, /page 0x[0-9a-f]+ of block "[^"]+" cannot be read/);
      t.true(error.message.includes(path), error.message);
      const { complete, arrivedBytes = 0, contentBytes = 0 } = guest.restored.memory?.progress() ?? {};
      t.false(complete);
      t.true(arrivedBytes < contentBytes);
      // The guest waits, and has seen nothing wrong.
      await delay(300);
      t.false(guest.serial().includes('E'));
    }),
  );
}
