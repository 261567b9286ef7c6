import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { attach, QmpClient, save } from '../../ts/index.ts';
import { pageServers, untilNoPageServer } from '../restore/lazy-servers.ts';
import type { LazyOrder } from '../restore/lazy-worker.ts';
import { differingPages } from '../save/differing-pages.ts';
import { killCount, randomNumbers } from '../save/kill-points.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { restoreGuest, type RestoredTestGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const dir = await temporaryDirectory();
test.after.always(() => dir[Symbol.asyncDispose]());

const PAGE = 4096;
/** The guest takes longer to go through its memory than that takes to come: it waits for zero pages at the end. */
const REGION = { start: 16 * MIB, length: 32 * MIB };
const SETUP: GuestSetup = { memoryMiB: 128, region: REGION };
const path = dir.file('guest.mr');

test.before(async () => {
  if (QEMU_MISSING !== undefined) return;
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  await guest.stop();
  await save(guest.qmp, path, { writer: 'engine' });
});

function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** Calls `act` when a command is about to be sent for the first time. */
function before(qmp: QmpClient, command: string, act: () => void): void {
  const execute = qmp.execute.bind(qmp);
  let isOver = false;
  const aimed: QmpClient['execute'] = (name, ...rest) => {
    if (name === command && !isOver) {
      isOver = true;
      act();
    }
    return execute(name, ...rest);
  };
  Object.defineProperty(qmp, 'execute', { value: aimed });
}

/** Waits without holding up the process's other work, to a fraction of a millisecond. */
async function after(milliseconds: number, act: () => void): Promise<void> {
  for (const until = performance.now() + milliseconds; performance.now() < until;) await turn();
  act();
}

async function restoreLazily(
  preempt: boolean,
): Promise<{ guest: RestoredTestGuest; server: number | undefined }> {
  const others = pageServers();
  const guest = await restoreGuest(path, SETUP, { mode: 'lazy', postcopy: { preempt } });
  // It may have done its work by now.
  const server = pageServers().find((pid) => !others.includes(pid));
  return { guest, server };
}

/** The guest goes on, has found nothing wrong, and what it does not write is as in the snapshot. */
async function assertWhole(t: ExecutionContext, guest: TestGuest, what: string): Promise<void> {
  t.is(await guest.runState(), 'running', what);
  await guest.waitForGenerations(2);
  await guest.checkMemory();
  const wrong = (await differingPages(guest, path)).filter(({ block, page }) => {
    const offset = page * PAGE;
    const isRegion = offset >= REGION.start && offset < REGION.start + REGION.length;
    return block !== 'pc.ram' || (offset >= MIB && !isRegion);
  });
  t.deepEqual(wrong, [], what);
}

/** The commands that end a migration with a second connection: QEMU's main thread waits for the CPUs in the second. */
const STEPS = ['query-status', 'stop'] as const;
/** A standstill takes this long, more or less. */
const STANDSTILL_MS = 4;

qemuTest(
  'a server that is killed when the guest is to stand still for the end: another takes over',
  async (t) => {
    const random = randomNumbers(1);
    let takeOvers = 0;
    for (let count = 0; count < killCount(8); count += 1) {
      const { guest: restored, server } = await restoreLazily(true);
      await using guest = restored;
      // Half of the kills come with the very command, when a CPU may wait for a page.
      const [step = 'stop', wait] = [STEPS[count % 2], count % 4 < 2 ? 0 : random() * STANDSTILL_MS];
      let killed = Promise.resolve();
      before(guest.qmp, step, () => {
        killed = after(wait, () => kill(server));
      });
      const report = await guest.restored.memoryComplete;
      await killed;
      takeOvers += report?.takeOvers ?? 0;
      await assertWhole(t, guest, `round ${count}: ${wait.toFixed(2)} ms after ${step}`);
    }
    t.true(takeOvers > 0);
    t.log(`${takeOvers} servers took over`);
    t.deepEqual(await untilNoPageServer(), []);
  },
);

qemuTest('a server that is killed between the end and QEMU’s word on it: preempt false', async (t) => {
  const random = randomNumbers(2);
  let around = 40;
  let takeOvers = 0;
  for (let count = 0; count < killCount(6); count += 1) {
    const { guest: restored, server } = await restoreLazily(false);
    await using guest = restored;
    const wait = around * (0.8 + 0.4 * random());
    const killed = after(wait, () => kill(server));
    const report = await guest.restored.memoryComplete;
    const took = report?.takeOvers ?? 0;
    // The kills come closer to the end from either side.
    around *= took > 0 ? 1.15 : 0.9;
    takeOvers += took;
    await killed;
    await assertWhole(t, guest, `round ${count}: killed after ${wait.toFixed(1)} ms`);
  }
  t.log(`${takeOvers} servers took over; the last kills came around ${Math.round(around)} ms`);
  t.deepEqual(await untilNoPageServer(), []);
});

qemuTest('a connection without commands out of band has no second connection for pages', async (t) => {
  await using guest = await startGuest({ ...SETUP, incoming: true });
  const { plan, memoryComplete } = await attach(guest.qmp, path, { mode: 'lazy' });
  t.is(plan.channels.value, 1);
  await memoryComplete;
  await assertWhole(t, guest, 'attached');
});

qemuTest('a guest goes on whose owner is killed while it stands still for the end', async (t) => {
  for (let count = 0; count < killCount(2); count += 1) {
    await using sockets = await temporaryDirectory();
    const server = sockets.file('qmp');
    const extraArgs = ['-qmp', `unix:${server},server=on,wait=off`];
    await using guest = await startGuest({ ...SETUP, incoming: true, extraArgs });
    const worker = fork(fileURLToPath(new URL('../restore/lazy-worker.ts', import.meta.url)));
    await once(worker, 'message');
    const stopped = guest.qmp.waitForEvent('STOP');
    const goesOn = stopped.then(() => guest.qmp.waitForEvent('RESUME', { timeoutMs: 20_000 }));
    worker.send({ server, snapshot: path, postcopy: {} } satisfies LazyOrder);
    await stopped;
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    await goesOn;
    for (let tries = 0; tries < 500; tries += 1) {
      if ((await guest.qmp.execute('query-migrate')).status === 'completed') break;
      await delay(20);
    }
    t.is((await guest.qmp.execute('query-migrate')).status, 'completed');
    await assertWhole(t, guest, `round ${count}`);
    // Nobody keeps the owner's connection.
    await using again = await QmpClient.connect(server);
    t.true(again.isOpen);
  }
});
