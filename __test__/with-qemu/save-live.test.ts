import { readdir, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import {
  MappedRamError,
  planSave,
  save,
  type SaveOptions,
  type SaveResult,
  Snapshot,
} from '../../ts/index.ts';
import type { SaveProgress } from '../../ts/save/save-options.ts';
import { checkSnapshot } from '../save/check-snapshot.ts';
import { type DifferingPage, differingPages } from '../save/differing-pages.ts';
import { settings } from '../negotiate/carry-out.ts';
import { KVM_REGION, kvmTest } from '../support/kvm-test.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Live saves of one guest in each way. */
const SAVES = Number(process.env['MAPPED_RAM_LIVE_SAVES'] ?? 3);

/** The ways in which QEMU writes. */
const WAYS: Readonly<Record<string, SaveOptions>> = {
  'one channel': { multifd: 'off' },
  'four channels': { channels: 4, directIo: 'off' },
  'four channels with direct I/O': { channels: 4, directIo: 'auto' },
};

/** A guest that writes its memory as fast as it can, while QEMU may write only a part of that: without end. */
const NEVER = { live: true, maxBandwidth: 32 * MIB, downtimeLimitMs: 1 } as const;

/**
 * Asserts that a save has what the guest has. Under TCG QEMU may miss what its only vCPU writes to the one page to which
 * a store was under way while QEMU looked for dirty pages (docs/format.md §4.1). @returns that page
 */
function assertSame(
  t: ExecutionContext,
  differing: readonly DifferingPage[],
  when: string,
): DifferingPage | undefined {
  const [first] = differing;
  if (first === undefined) return undefined;
  const words = `${when}: ${JSON.stringify(differing.slice(0, 5))}`;
  t.log('a page was missed', words);
  t.is(differing.length, 1, words);
  return first;
}

for (const [way, options] of Object.entries(WAYS)) {
  qemuTest(`what is saved live is what the guest has when QEMU stops it: ${way}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest({ region: { start: 16 * MIB, length: 64 * MIB } });
    await guest.waitForGenerations(1);
    const before = await settings(guest.qmp);
    let missed = 0;
    for (let round = 0; round < SAVES; round += 1) {
      const path = dir.file('guest.mr');
      const saved = await save(guest.qmp, path, {
        live: true,
        after: 'stop',
        overwrite: true,
        guard: 'off',
        ...options,
      });
      t.like(saved, { writer: 'qemu', verified: true, runState: 'postmigrate', pauseMs: undefined });
      t.true((saved.live?.passes ?? 0) >= 2, JSON.stringify(saved.live));
      t.is(saved.warnings.length, 1);
      t.regex(saved.warnings[0] ?? '', /under TCG a live save may miss what the guest writes/);
      if (assertSame(t, await differingPages(guest, path), `save ${round}`) !== undefined) missed += 1;
      await guest.cont();
      await guest.waitForGenerations(1);
    }
    t.deepEqual(await settings(guest.qmp), before);
    t.log(`${missed} of ${SAVES} saves miss a page`);
    await guest.assertAlive();
  });
}

qemuTest(
  'a guest that is saved live stands still from STOP to RESUME only, and its clone goes on',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest();
    await guest.waitForGenerations(2);
    const path = dir.file('guest.mr');
    const told: SaveProgress[] = [];
    const commands: string[] = [];
    const execute = guest.qmp.execute.bind(guest.qmp);
    Reflect.set(guest.qmp, 'execute', (command: string, ...rest: []) => {
      commands.push(command);
      return execute(command, ...rest);
    });
    const onProgress = (progress: SaveProgress): void => void told.push(progress);
    const maxBandwidth = 48 * MIB;
    const seen: { readonly event: string; readonly timestampMs: number }[] = [];
    const events = guest.qmp.events((event) => {
      if (['STOP', 'RESUME'].includes(event.event)) seen.push(event);
      return false;
    });
    const saved = await save(guest.qmp, path, {
      live: true,
      maxBandwidth,
      downtimeLimitMs: 1000,
      onProgress,
    });
    await events.return();
    t.like(saved, { runState: 'running', verified: true, live: { converged: true } });
    t.false(commands.includes('stop'), 'QEMU stops the guest, not the save');
    const [stop, resume] = seen;
    t.deepEqual(
      seen.map(({ event }) => event),
      ['STOP', 'RESUME'],
    );
    t.is(saved.pauseMs, (resume?.timestampMs ?? 0) - (stop?.timestampMs ?? 0));
    t.true((saved.pauseMs ?? 0) > 0);
    t.true((saved.pauseMs ?? 0) < saved.elapsedMs);
    const memory = told.flatMap(({ step, live }) => (step === 'memory' && live !== undefined ? [live] : []));
    t.true(memory.length > 0);
    t.true(
      memory.some(({ remainingBytes = 0, pass }) => remainingBytes > 0 && pass >= 1),
      JSON.stringify(memory),
    );
    t.is(memory.at(-1)?.pass, saved.live?.passes);
    await checkSnapshot(path, 'pc.ram', guest.region);
    await guest.assertAlive();
    await using clone = await restoreGuest(path, {}, {});
    await clone.assertAlive();
  },
);

for (const [way, options] of Object.entries(WAYS)) {
  qemuTest(`a guest that never converges is stopped at a bound, or its save abandoned: ${way}`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest();
    await guest.waitForGenerations(2);
    const before = await settings(guest.qmp);
    const path = dir.file('guest.mr');
    for (const bound of [{ maxPasses: 1 }, { maxLiveMs: 1500 }]) {
      const limits = { ...NEVER, ...options, ...bound, guard: 'off' } as const;
      const abandoned = save(guest.qmp, path, { ...limits, whenNotConverging: 'abandon' });
      const error = await t.throwsAsync(abandoned, {
        instanceOf: MappedRamError,
        code: 'ERR_MAPPED_RAM_TIMEOUT',
        message: /changes its memory too fast for a live save of (?:one pass|1500 ms): \d+ bytes were left/,
      });
      t.log(error?.message);
      t.deepEqual(await readdir(dir.path), []);
      t.deepEqual(await settings(guest.qmp), before);
      t.is(await guest.runState(), 'running');
      await guest.waitForGenerations(1);
      const saved = await save(guest.qmp, path, { ...limits, after: 'stop', overwrite: true });
      t.like(saved, { runState: 'postmigrate', verified: true, live: { converged: false } });
      assertSame(t, await differingPages(guest, path), JSON.stringify(bound));
      await guest.cont();
      await guest.waitForGenerations(1);
      const again = await save(guest.qmp, path, { ...limits, overwrite: true });
      t.like(again, { runState: 'running', live: { converged: false } });
      t.true((again.pauseMs ?? 0) > 0);
      await using clone = await restoreGuest(path, {}, { after: 'as-saved' });
      t.is(await clone.runState(), 'running', 'the snapshot says that the guest ran');
      await guest.waitForGenerations(1);
      await rm(path);
    }
    await guest.assertAlive();
  });
}

qemuTest('a guest that stands still already, or that the engine saves, is not saved live', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ backend: 'file', share: true });
  const { qmp } = guest;
  await guest.waitForGenerations(1);
  const path = dir.file('guest.mr');
  const refused = async (options: SaveOptions, rule: string, message: RegExp): Promise<void> => {
    for (const refusing of [planSave(qmp, path, options), save(qmp, path, options)]) {
      const error = await t.throwsAsync(refusing, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message });
      t.like(error, { rule: { rule } });
    }
  };
  await refused({ live: true, writer: 'engine' }, 'engine-not-live', /only QEMU follows one that goes on/);
  await refused({ live: true, mappedRam: 'off' }, 'live-needs-mapped-ram', /as often as it was sent/);
  t.like(await planSave(qmp, path, {}), { writer: { value: 'engine' }, live: { value: false } });
  t.like(await planSave(qmp, path, { live: true }), {
    writer: { value: 'qemu', rule: 'engine-not-live' },
    live: { value: true },
    parameters: { 'downtime-limit': 100 },
  });
  const idle = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /maxPasses is an option of live saves/ };
  await t.throwsAsync(planSave(qmp, path, { live: false, maxPasses: 3 }), idle);
  await guest.stop();
  await refused({ live: true }, 'live-guest-stands-still', /does not run \(paused\)/);
  t.like(await save(qmp, path, { live: 'auto' }), { live: undefined, runState: 'paused' });
  await guest.assertAlive();
});

qemuTest('a guest that is stopped between plan and save is saved as it stands, with a warning', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let isPlanned = false;
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    // The claim, which is an object in QEMU, is the first thing after the plan.
    if (command === 'object-add' && !isPlanned) {
      isPlanned = true;
      await execute('stop');
    }
    return execute(command, ...rest);
  });
  const path = dir.file('guest.mr');
  const saved = await save(qmp, path, { live: true });
  t.like(saved, { plan: { live: { value: true } }, live: undefined, pauseMs: undefined, verified: true });
  t.is(saved.runState, 'postmigrate');
  t.regex(saved.warnings[0] ?? '', /was paused when it began: it was not saved live/);
  await checkSnapshot(path, 'pc.ram', guest.region);
  await guest.assertAlive();
});

/** Saves live, and does something as soon as QEMU is at work. */
async function savedMeanwhile(
  guest: TestGuest,
  path: string,
  options: SaveOptions,
  work: () => Promise<unknown>,
): Promise<Awaited<ReturnType<typeof save>>> {
  let working: Promise<unknown> | undefined;
  const saving = save(guest.qmp, path, {
    live: true,
    maxBandwidth: 32 * MIB,
    guard: 'off',
    ...options,
    onProgress: ({ bytesDone }) => {
      if (bytesDone > 0) working ??= work();
    },
  });
  const saved = await saving;
  await working;
  return saved;
}

qemuTest('a guest that shuts down while it is saved live does not go on', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ extraArgs: ['-no-shutdown'] });
  await guest.waitForGenerations(1);
  // With -no-reboot a reset is a shutdown.
  const saved = await savedMeanwhile(guest, dir.file('guest.mr'), { after: 'cont' }, () =>
    guest.qmp.execute('system_reset'),
  );
  t.like(saved, { runState: 'postmigrate', pauseMs: undefined, verified: true });
  t.true(saved.warnings.some((warning) => warning.includes("the guest's state was shutdown")));
});

qemuTest(
  'a guest that somebody stops and lets run while it is saved live is saved as it is at the end',
  async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest();
    await guest.waitForGenerations(1);
    const path = dir.file('guest.mr');
    const saved = await savedMeanwhile(guest, path, { after: 'stop' }, async () => {
      await guest.stop();
      await guest.cont();
    });
    t.like(saved, { runState: 'postmigrate', verified: true });
    assertSame(t, await differingPages(guest, path), 'stopped and let run');
    await guest.assertAlive();
  },
);

kvmTest('under KVM a save by QEMU is live by itself, and misses nothing', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ accel: 'kvm', region: KVM_REGION });
  await guest.waitForGenerations(1, 120_000);
  const path = dir.file('guest.mr');
  for (const [way, options] of Object.entries(WAYS)) {
    for (let round = 0; round < SAVES; round += 1) {
      const how = { ...options, writer: 'qemu', after: 'stop', overwrite: true, guard: 'off' } as const;
      const saved = await save(guest.qmp, path, how);
      t.like(saved, { plan: { live: { value: true } }, verified: true, warnings: [] });
      t.true((saved.live?.passes ?? 0) >= 2, JSON.stringify(saved.live));
      t.deepEqual(await differingPages(guest, path), [], `${way}, save ${round}`);
      await guest.cont();
      await delay(20);
    }
  }
  await guest.waitForGenerations(1, 120_000);
});

qemuTest('a guest that its owner stops while it is saved live stays stopped', async (t) => {
  await using dir = await temporaryDirectory();
  // So much changes that the save takes seconds.
  await using guest = await startGuest({ region: { start: 16 * MIB, length: 32 * MIB } });
  await guest.waitForGenerations(2);
  const path = dir.file('guest.mr');
  /** Saves, while the owner does something as soon as QEMU writes. */
  const saveWhile = async (act: (abort: () => void) => Promise<void>): Promise<SaveResult> => {
    let done: Promise<void> | undefined;
    const { signal, abort } = aborter();
    const onProgress = ({ live }: SaveProgress): void => {
      if ((live?.pass ?? 0) >= 1) done ??= act(abort);
    };
    const options = { live: true, maxBandwidth: 24 * MIB, downtimeLimitMs: 1000, guard: 'off' } as const;
    try {
      return await save(guest.qmp, path, { ...options, overwrite: true, onProgress, signal });
    } finally {
      await done;
    }
  };
  const stopped = await saveWhile(() => guest.stop());
  t.like(stopped, { runState: 'postmigrate', pauseMs: undefined, verified: true });
  t.true(stopped.warnings.some((words) => words.includes('somebody has stopped the guest')));
  await using snapshot = await Snapshot.open(path);
  t.is((await snapshot.info()).runState, 'paused');
  t.deepEqual(await differingPages(guest, path), []);
  await guest.cont();
  const again = await saveWhile(async () => {
    await guest.stop();
    await guest.cont();
  });
  t.like(again, { runState: 'running', warnings: stopped.warnings.filter((words) => /TCG/.test(words)) });
  const aborted = saveWhile(async (abort) => {
    await guest.stop();
    await delay(100);
    abort();
  });
  await t.throwsAsync(aborted, { message: 'enough' });
  t.is(await guest.runState(), 'paused');
  await guest.cont();
  await guest.assertAlive();
});

function aborter(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error('enough')) };
}
