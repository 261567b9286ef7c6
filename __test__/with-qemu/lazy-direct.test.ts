import test from 'ava';

import { Snapshot } from '../../ts/index.ts';
import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { assertDirectIo } from '../../ts/engine/serve/page-server.ts';
import { assertMemory } from '../save/captured-guest.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { type GuestSetup, MIB } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { saveTwice } from '../support/saved-twice.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// The directory for temporary files may be in memory, where nothing goes past the page cache.
const dir = await temporaryDirectory('/var/tmp');
test.after.always(() => dir[Symbol.asyncDispose]());

const REGION = { start: 16 * MIB, length: 8 * MIB };
const SETUP: GuestSetup = { memoryMiB: 128, region: REGION };

/** The bytes that the page cache has of the places of pages in a file. */
async function cachedPages(path: string): Promise<number> {
  await using snapshot = await Snapshot.open(path);
  const areas = snapshot.completeRam().blocks.map(({ area }) => area);
  return areas
    .map(({ pagesOffset: offset, length }) => pageCacheState(path, { offset, length })?.cachedBytes ?? 0)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** What is read ahead behind a bitmap may be pages. */
const STRAY_BYTES = MIB / 4;

qemuTest(
  'a lazy restore past the page cache brings every page, and leaves the cache as it was',
  async (t) => {
    const { base, later, delta } = await saveTwice(SETUP, dir);
    for (const [source, files, right] of [
      [later, [later], later],
      [delta, [delta, base], later],
    ] as const) {
      for (const server of ['process', 'caller'] as const) {
        const options = { mode: 'lazy', directIo: 'on', postcopy: { server } } as const;
        for (const file of files) await dropPageCache(file);
        {
          await using guest = await restoreGuest(source, SETUP, options);
          t.is(guest.restored.runState, 'running');
          t.true(guest.restored.plan.directIo.value, guest.restored.plan.directIo.why);
          t.true(((await guest.restored.memoryComplete)?.pushedBytes ?? 0) > REGION.length / 2);
          for (const file of files) t.true((await cachedPages(file)) <= STRAY_BYTES, file);
          await guest.assertAlive();
        }
        await using guest = await restoreGuest(source, SETUP, { ...options, after: 'stop' });
        t.is((await guest.restored.memoryComplete)?.takeOvers, 0);
        await assertMemory(t, guest, right, `${source}, ${server}`);
      }
    }
    // Without it they would be there.
    await dropPageCache(later);
    await using guest = await restoreGuest(later, SETUP, { mode: 'lazy', directIo: 'auto' });
    t.false(guest.restored.plan.directIo.value, guest.restored.plan.directIo.why);
    await guest.restored.memoryComplete;
    t.true((await cachedPages(later)) > STRAY_BYTES);
  },
);

qemuTest('a lazy restore past the page cache leaves no descriptor, thread or process', async (t) => {
  await using own = await temporaryDirectory('/var/tmp');
  const { delta } = await saveTwice(SETUP, own);
  const once = async (): Promise<void> => {
    for (const push of ['full', 'off'] as const) {
      const postcopy = { server: 'caller', push } as const;
      await using guest = await restoreGuest(delta, SETUP, { mode: 'lazy', directIo: 'on', postcopy });
      if (push === 'full') await guest.restored.memoryComplete;
    }
  };
  await assertNoLeak(t, once, once);
});

test('a file that cannot be read past the page cache is refused', (t) => {
  t.throws(() => assertDirectIo({ path: '/proc/version', name: 'guest.mr' }), {
    code: 'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
    message: /guest\.mr.*direct I\/O was asked for and cannot be had/s,
  });
});
