import { setTimeout as delay } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import type { ForkOptions } from '../../ts/fork/fork-options.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { killCount } from '../save/kill-points.ts';
import { fatedGuestArgs, startFatedGuest } from '../support/fated-guest.ts';
import { ForkRig, SOURCES } from '../support/fork-rig.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { childQemus } from '../support/pool-guests.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { prepareFork } from '../../ts/fork/prepare-fork.ts';

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

/** Counts how often a guest is stopped. */
function stopsOf(qmp: QmpClient): { readonly count: number } {
  const stops = { count: 0 };
  const count = async (): Promise<void> => {
    for await (const _ of qmp.events(['STOP'])) stops.count += 1;
  };
  // The stream ends with the connection.
  void count().catch(() => undefined);
  return stops;
}

/** Command lines of which one has more words. */
function withWords(rig: ForkRig, which: number, ...words: readonly string[]): ForkOptions['args'] {
  return async (index) => [...(await rig.guests.args(index)), ...(index === which ? words : [])];
}

for (const kind of SOURCES) {
  qemuTest(`what does not fit a ${kind} guest is refused before its pause`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    const stops = stopsOf(rig.source.qmp);
    const refused: readonly (readonly [Partial<ForkOptions>, string, RegExp])[] = [
      [
        { args: withWords(rig, 1, '-m', '256M') },
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        /^clone 1: the command line does not go with the guest that is forked: .*256 MiB/,
      ],
      [
        { args: withWords(rig, 1, '-smp', '2') },
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        /clone 1: .*1 CPUs, QEMU 2/,
      ],
      [
        { args: withWords(rig, 0, '-machine', 'pc') },
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        /clone 0: .*machine type/,
      ],
      [{ args: withWords(rig, 1, '-device', 'no-such') }, 'ERR_MAPPED_RAM_QEMU', /clone 1: .*no-such/s],
      [{ args: withWords(rig, 1, '-daemonize') }, 'ERR_MAPPED_RAM_INVALID_ARGUMENT', /clone 1: .*-daemonize/],
      [{ args: async () => rig.guests.args(0) }, 'ERR_MAPPED_RAM_INVALID_ARGUMENT', /two clones .*boot\.img/],
      [{ binary: '/no/such/qemu' }, 'ERR_MAPPED_RAM_IO', /cannot run QEMU/],
    ];
    for (const [options, code, message] of refused) {
      const error = await t.throwsAsync(rig.fork(2, options), { code, message }, String(message));
      t.notRegex(
        error?.message ?? '',
        /\/proc\/|mode instant/,
        'a name of this process means nothing to people',
      );
      t.is(stops.count, 0, String(message));
      await rig.assertAsBefore(t, String(message));
    }
    await rig.source.assertAlive();
  });

  qemuTest(`a fork of a ${kind} guest that is aborted anywhere leaves nothing`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    const reason = new Error('enough');
    const whole = await timeOf(async () => {
      await using _ = await rig.fork(2);
    });
    const steps: readonly (readonly [string, (abort: () => void) => Partial<ForkOptions> | void])[] = [
      ['at once', (abort) => abort()],
      [
        'when asked for a command line',
        (abort) => ({
          args: async (index) => {
            if (index === 1) abort();
            return rig.guests.args(index);
          },
        }),
      ],
      ['in the pause', (abort) => void rig.source.qmp.waitForEvent(['STOP']).then(abort)],
      ['after the pause', (abort) => void rig.source.qmp.waitForEvent(['RESUME']).then(abort)],
    ];
    for (const [what, set] of steps) {
      const controller = new AbortController();
      const options = set(() => controller.abort(reason)) ?? {};
      await t.throwsAsync(rig.fork(2, { ...options, signal: controller.signal }), { is: reason }, what);
      await rig.assertAsBefore(t, what);
    }
    const parts = killCount(7) + 1;
    for (let part = 1; part < parts; part += 1) {
      const controller = new AbortController();
      const forking = rig.fork(2, { signal: controller.signal });
      forking.catch(() => undefined);
      await delay((whole * part) / parts);
      controller.abort(reason);
      const done = await forking.then(
        (fork) => fork,
        (error: unknown) => (t.is(error, reason, `after ${part} of ${parts} parts`), undefined),
      );
      await done?.[Symbol.asyncDispose]();
      await rig.assertAsBefore(t, `after ${part} of ${parts} parts`);
    }
    await rig.source.assertAlive();
  });

  qemuTest(`when the QEMU of one clone of a ${kind} guest dies, all are ended`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    for (const event of ['STOP', 'RESUME'] as const) {
      const before = new Set(childQemus());
      await using slots = await rig.prepare(3, { guard: 'off' });
      const [, victim = 0] = childQemus().filter((pid) => !before.has(pid));
      void rig.source.qmp.waitForEvent([event]).then(() => process.kill(victim, 'SIGKILL'));
      await t.throwsAsync(slots.fork(), {
        code: 'ERR_MAPPED_RAM_QEMU',
        message: new RegExp(`clone \\d: .*${victim}.*SIGKILL|clone \\d: .*closed`, 's'),
      });
      await rig.assertAsBefore(t, event);
    }
    await rig.source.assertAlive();
  });

  qemuTest(`a QEMU that dies while it waits for a ${kind} guest is told before the pause`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    const stops = stopsOf(rig.source.qmp);
    const before = new Set(childQemus());
    await using slots = await rig.prepare(2, { guard: 'off' });
    const victim = childQemus().find((pid) => !before.has(pid)) ?? 0;
    process.kill(victim, 'SIGKILL');
    await delay(200);
    await t.throwsAsync(slots.fork(), {
      code: 'ERR_MAPPED_RAM_QEMU',
      message: new RegExp(`ended before its time \\(process ${victim}\\): QEMU was killed by SIGKILL`),
    });
    t.is(stops.count, 0);
    await rig.assertAsBefore(t, 'killed while it waited');
  });
}

qemuTest('slots that are closed, or run out of time, leave nothing', async (t) => {
  await using rig = await ForkRig.start('clone', dir);
  const slots = await rig.prepare(2);
  await slots.close();
  await slots.close();
  await t.throwsAsync(slots.fork(), { code: 'ERR_MAPPED_RAM_CLOSED', message: /are closed/ });
  await rig.assertAsBefore(t, 'closed');
  await using others = await rig.prepare(2);
  await t.throwsAsync(others.fork({ timeoutMs: 1 }), {
    code: 'ERR_MAPPED_RAM_TIMEOUT',
    message: /not done within 1 ms/,
  });
  await rig.assertAsBefore(t, 'late');
  await assertRefused(t, rig);
});

async function assertRefused(t: ExecutionContext, rig: ForkRig): Promise<void> {
  for (const n of [0, -1, 1.5, 257, Number.NaN]) {
    await t.throwsAsync(rig.fork(n), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE', message: /1 to 256/ });
  }
  t.deepEqual(rig.guests.asked.length, 4, 'no command line was asked for');
}

qemuTest('a machine that has changed since its clones were prepared is refused', async (t) => {
  await using rig = await ForkRig.start('clone', dir, { machine: 'pc' });
  const stops = stopsOf(rig.source.qmp);
  await using slots = await rig.prepare(1);
  await rig.source.qmp.execute<string>('device_add', { driver: 'virtio-rng-pci', id: 'late' });
  await t.throwsAsync(slots.fork(), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message:
      /has changed since its clones were prepared: its list of PCI devices was .* prepare the fork again/,
  });
  t.is(stops.count, 0);
  await rig.assertAsBefore(t, 'changed');
  await t.throwsAsync(rig.fork(1), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /clone 0: .*the guest has a PCI device at 0000:00:0\d\.0 .*QEMU has none there/,
  });
});

qemuTest('a guest that is over is not forked', async (t) => {
  const args = await fatedGuestArgs(dir.file('fate.img'), 'shutdown');
  await using qemu = await startFatedGuest(args, 'shutdown');
  await t.throwsAsync(prepareFork(qemu.qmp, 1, { args: () => args }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /its state is shutdown/,
  });
});

qemuTest('what fails leaves no descriptor and no thread', async (t) => {
  await using rig = await ForkRig.start('fresh', dir);
  const once = async (): Promise<void> => {
    await t.throwsAsync(rig.fork(2, { args: withWords(rig, 1, '-smp', '2') }));
    const controller = new AbortController();
    void rig.source.qmp.waitForEvent(['RESUME']).then(() => controller.abort(new Error('enough')));
    await t.throwsAsync(rig.fork(2, { signal: controller.signal }), { message: 'enough' });
  };
  await assertNoLeak(t, once, once);
});

async function timeOf(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
