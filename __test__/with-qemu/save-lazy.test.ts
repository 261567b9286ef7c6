import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { MappedRamError, QmpClient, save } from '../../ts/index.ts';
import type { RestoreOptions } from '../../ts/restore/restore.ts';
import { withHugePages } from '../bench/ours/huge-page-pool.ts';
import { comingMemoryOf } from '../../ts/qemu/memory/coming-memory.ts';
import { nextPageServer, pageServers, untilNoPageServer } from '../restore/lazy-servers.ts';
import {
  assertMemory,
  assertRestores,
  BINARIES,
  FREE,
  PAGE,
  poke,
  scattered,
  SETUP as CAPTURED,
  zeros,
} from '../save/captured-guest.ts';
import { killCount } from '../save/kill-points.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, type RestoredTestGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const SETUP: GuestSetup = { ...CAPTURED, machine: 'pc-q35-10.0', defaults: true };
const base = dir.file('base.mr');

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  await guest.stop();
  await poke(guest, scattered(FREE.start, FREE.length, 1, 1));
  await save(guest.qmp, base, { writer: 'engine' });
});

type Lazily = Omit<RestoreOptions, 'binary' | 'args' | 'mode'>;

/** Only what the guest touches comes, so that nearly all of its memory is missing for as long as it takes. */
const MISSING: Lazily = { postcopy: { push: 'off' } };

function restoreLazily(options: Lazily, setup: GuestSetup = SETUP): Promise<RestoredTestGuest> {
  return restoreGuest(base, setup, { ...options, mode: 'lazy' });
}

/** Saves a guest whose pages are missing, and compares it with what came and what is to come. */
async function assertSaved(t: ExecutionContext, options: Lazily, setup: GuestSetup = SETUP): Promise<void> {
  const what = JSON.stringify({ ...options, binary: setup.binary });
  const path = dir.file('delta.mr');
  await using guest = await restoreLazily({ after: 'stop', ...options }, setup);
  // The guest's own changes: pages with content and pages of zeros, over content and over none.
  const changes = [
    { offset: 50 * MIB, bytes: Buffer.alloc(PAGE, 'changed') },
    zeros(54 * MIB, PAGE),
    { offset: 90 * MIB, bytes: Buffer.alloc(PAGE, 'new') },
    zeros(94 * MIB, PAGE),
  ];
  for (const { offset } of changes) await guest.touch(offset);
  await poke(guest, changes);
  const before = guest.restored.memory?.progress();
  t.true((before?.arrivedBytes ?? 0) < (before?.contentBytes ?? 0) / 2, what);
  const saved = await save(guest.qmp, path, { base: 'auto', form: 'delta', after: 'stop', overwrite: true });
  const after = guest.restored.memory?.progress();
  t.is(saved.capture?.base, base, what);
  t.deepEqual(saved.warnings, [], what);
  const arrived = (after?.arrivedBytes ?? 0) - (before?.arrivedBytes ?? 0);
  // The save has asked for no page. Devices may have, while QEMU wrote their state.
  if (options.postcopy?.push === 'off')
    t.true(arrived < (options.memory === 'hugepages' ? 8 : 1) * MIB, what);
  t.false(after?.complete, what);
  t.true((await stat(path)).blocks * 512 < 32 * MIB, what);
  await assertMemory(t, guest, path, what, base);
  await guest.assertAlive();
  await guest.close();
  await assertRestores(t, path, setup);
}

for (const binary of BINARIES) {
  qemuTest(
    `a guest is saved as what differs from its snapshot while pages are missing: ${binary}`,
    async (t) => {
      await assertSaved(t, MISSING, { ...SETUP, binary });
    },
  );
}

const KINDS: readonly Lazily[] = [
  { ...MISSING, memory: 'memfd' },
  { ...MISSING, memory: { path: '/dev/shm' } },
  { postcopy: { push: 'off', preempt: false } },
  { postcopy: { push: 'off', server: 'caller' } },
  { postcopy: { maxBandwidth: 4 * MIB } },
];
for (const options of KINDS) {
  qemuTest(`so is one with ${JSON.stringify(options)}`, (t) => assertSaved(t, options));
}

qemuTest('so is one in huge pages', async (t) => {
  await withHugePages(t, 160, () => assertSaved(t, { ...MISSING, memory: 'hugepages' }));
});

qemuTest('a huge page of zeros over content is saved while others come', async (t) => {
  const path = dir.file('huge.mr');
  await withHugePages(t, 160, async () => {
    for (let count = 0; count < killCount(3); count += 1) {
      const options: Lazily = { memory: 'hugepages', after: 'stop', postcopy: { maxBandwidth: 60 * MIB } };
      await using guest = await restoreLazily(options);
      const start = 50 * MIB;
      await guest.touch(start);
      await poke(guest, [zeros(start, 2 * MIB)]);
      await save(guest.qmp, path, { base, form: 'delta', after: 'stop', overwrite: true });
      await assertMemory(t, guest, path, `round ${count}`, base);
    }
  });
});

qemuTest('a guest that runs is saved again and again while its memory comes, and goes on', async (t) => {
  for (const preempt of [true, false]) {
    await using guest = await restoreLazily({ postcopy: { preempt, maxBandwidth: 16 * MIB } });
    const complete = guest.restored.memoryComplete;
    let path = '';
    for (let count = 0; count < 3; count += 1) {
      path = dir.file(`live-${preempt}-${count}.mr`);
      const saved = await save(guest.qmp, path, {
        base,
        form: 'delta',
        after: count === 2 ? 'stop' : 'cont',
      });
      t.is(saved.runState, count === 2 ? 'paused' : 'running');
    }
    await assertMemory(t, guest, path, `preempt ${preempt}`, base);
    t.truthy(await complete);
    await assertMemory(t, guest, path, `preempt ${preempt}, complete`);
    await guest.assertAlive();
    // Nothing is missing any more, so nothing is known of where its pages came from.
    await t.throwsAsync(save(guest.qmp, dir.file('late.mr'), { base }), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    });
    await save(guest.qmp, dir.file(`whole-${preempt}.mr`));
  }
});

qemuTest('a save at any moment of the end works, or finds the memory complete', async (t) => {
  let [deltas, late] = [0, 0];
  for (let count = 0; count < killCount(5); count += 1) {
    const preempt = count % 2 === 0;
    await using guest = await restoreLazily({ postcopy: { preempt, maxBandwidth: 100 * MIB } });
    const pushed = guest.restored.memoryComplete;
    // All of it takes half a second.
    await delay(count === 0 ? 0 : Math.random() * 600);
    const path = dir.file('end.mr');
    try {
      await save(guest.qmp, path, { base, form: 'delta', after: 'stop', overwrite: true });
      deltas += 1;
      await assertMemory(t, guest, path, `round ${count}`, base);
      t.is((await guest.qmp.execute('query-status')).status, 'paused');
    } catch (error) {
      t.is(error instanceof MappedRamError && error.rule?.rule, 'incremental-needs-clone', String(error));
      late += 1;
    }
    t.truthy(await pushed);
    await guest.assertAlive();
  }
  t.log(`${deltas} saved, ${late} found all of the memory there`);
  t.true(deltas > 0);
});

/** A guest that has all of the snapshot, and is not told so. */
async function heldAtTheEnd(): Promise<{ readonly guest: RestoredTestGuest; readonly held: Disposable }> {
  const guest = await restoreLazily({ after: 'stop', postcopy: { maxBandwidth: 40 * MIB } });
  const held = await comingMemoryOf(guest.qmp)?.hold(undefined);
  if (held === undefined) {
    await guest.close();
    throw new Error('the memory is complete too early');
  }
  const isPushed = (): boolean => {
    const { arrivedBytes = 0, contentBytes = 1 } = guest.restored.memory?.progress() ?? {};
    return arrivedBytes === contentBytes;
  };
  for (let tries = 0; tries < 500 && !isPushed(); tries += 1) await delay(10);
  return { guest, held };
}

qemuTest('a server that dies while a save keeps the memory from its end is replaced', async (t) => {
  const before = pageServers();
  const { guest, held } = await heldAtTheEnd();
  await using _ = guest;
  t.false(guest.restored.memory?.progress().complete);
  process.kill(await nextPageServer(before), 'SIGKILL');
  // QEMU waits for a page of zeros that nobody would have sent unasked.
  await guest.touch(94 * MIB);
  await save(guest.qmp, dir.file('held.mr'), { base, form: 'delta', overwrite: true });
  held[Symbol.dispose]();
  t.is((await guest.restored.memoryComplete)?.takeOvers, 1);
  await guest.assertAlive();
});

qemuTest('who lets go of the memory lets a save end first, and no other begins', async (t) => {
  const { guest, held } = await heldAtTheEnd();
  await using _ = guest;
  const released = guest.restored.memory?.release();
  await t.throwsAsync(save(guest.qmp, dir.file('late.mr'), { base }), { code: 'ERR_MAPPED_RAM_BUSY' });
  await delay(1500);
  t.not((await guest.qmp.execute('query-migrate')).status, 'completed');
  held[Symbol.dispose]();
  await released;
  const isComplete = async (): Promise<boolean> =>
    (await guest.qmp.execute('query-migrate')).status === 'completed';
  for (let tries = 0; tries < 300 && !(await isComplete()); tries += 1) await delay(20);
  t.true(await isComplete());
});

qemuTest('a save that waits for the end of the memory can be given up', async (t) => {
  const before = pageServers();
  const guest = await restoreLazily({ after: 'stop', postcopy: { maxBandwidth: 200 * MIB } });
  await using _ = guest;
  const server = await nextPageServer(before);
  const isNear = (): boolean => (guest.restored.memory?.progress().arrivedBytes ?? 0) > 30 * MIB;
  for (let tries = 0; tries < 500 && !isNear(); tries += 1) await delay(5);
  process.kill(server, 'SIGSTOP');
  try {
    // Whatever the save waits for, it does not wait for longer than it may.
    const saving = save(guest.qmp, dir.file('given-up.mr'), { base, timeoutMs: 1000 });
    const [outcome] = await Promise.allSettled([saving]);
    if (outcome.status === 'rejected') {
      t.true(outcome.reason instanceof MappedRamError, String(outcome.reason));
    }
    t.pass();
  } finally {
    process.kill(server, 'SIGCONT');
  }
  await guest.restored.memoryComplete;
});

qemuTest('a snapshot at an offset in a file is no base, whatever is at the beginning', async (t) => {
  const both = dir.file('both.mr');
  const offset = 512 * MIB;
  for (const [at, seed] of [
    [0, 1],
    [offset, 2],
  ] as const) {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(1);
    await guest.stop();
    await poke(guest, scattered(FREE.start, FREE.length, 8, seed));
    await save(guest.qmp, `file:${both},offset=${at}`, { writer: 'engine', overwrite: true });
  }
  await using guest = await restoreGuest({ path: both, offset }, SETUP, { mode: 'lazy', ...MISSING });
  await t.throwsAsync(save(guest.qmp, dir.file('delta.mr'), { base: 'auto', overwrite: true }), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /at offset 536870912/,
  });
});

qemuTest('everything else that saves is refused while pages are missing, and changes nothing', async (t) => {
  await using guest = await restoreLazily(MISSING);
  for (const options of [{}, { writer: 'qemu' }, { writer: 'engine' }, { live: true }] as const) {
    await t.throwsAsync(save(guest.qmp, dir.file('whole.mr'), options), {
      code: 'ERR_MAPPED_RAM_BUSY',
      message: /under way already \(postcopy-active\): .* its snapshot can be saved/,
    });
  }
  const other = dir.file('other.mr');
  {
    await using another = await startGuest(SETUP);
    await save(another.qmp, other, { writer: 'engine' });
  }
  await t.throwsAsync(save(guest.qmp, dir.file('delta.mr'), { base: other, overwrite: true }), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /is another file/,
  });
  t.is(guest.restored.memory?.progress().complete, false);
  await guest.assertAlive();
});

qemuTest('only the process that brings the memory knows what is missing', async (t) => {
  await using sockets = await temporaryDirectory();
  const extraArgs = ['-qmp', `unix:${sockets.file('qmp')},server=on,wait=off`];
  await using guest = await restoreLazily(MISSING, { ...SETUP, extraArgs });
  await using qmp = await QmpClient.connect(sockets.file('qmp'));
  await t.throwsAsync(save(qmp, dir.file('delta.mr'), { base, overwrite: true }), {
    code: 'ERR_MAPPED_RAM_BUSY',
  });
  await guest.assertAlive();
});

qemuTest('a snapshot that is a delta is no base for a save while its pages are missing', async (t) => {
  const delta = dir.file('first.mr');
  {
    await using guest = await restoreGuest(base, SETUP, {});
    await guest.waitForGenerations(1);
    await save(guest.qmp, delta, { base: 'auto', form: 'delta', after: 'stop' });
  }
  await using guest = await restoreGuest(delta, SETUP, { mode: 'lazy', ...MISSING });
  await t.throwsAsync(save(guest.qmp, dir.file('second.mr'), { base: 'auto' }), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /is a delta/,
  });
  await guest.assertAlive();
});

async function savedOnce(): Promise<void> {
  await using guest = await restoreLazily(MISSING);
  await save(guest.qmp, dir.file('leak.mr'), { base, form: 'delta', overwrite: true });
  await guest.restored[Symbol.asyncDispose]();
}

qemuTest('saves of guests whose memory comes leave nothing', async (t) => {
  await assertNoLeak(t, savedOnce, savedOnce);
  t.deepEqual(await untilNoPageServer(), []);
});
