import assert from 'node:assert/strict';

import type { ExecutionContext } from 'ava';

import type { SaveOptions, SaveProgress } from '../../ts/save/save-options.ts';
import { save } from '../../ts/save/save.ts';
import { type GuestSetup, startGuest } from '../support/qemu.ts';
import { MIB } from '../support/qemu-setup.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../save/writers.ts';

const STEPS = {
  qemu: ['memory', 'publish'],
  engine: ['state', 'memory', 'publish'],
  capture: ['state', 'memory', 'publish'],
};

for (const { way, setup, options } of WAYS) {
  qemuTest(`${way}: progress grows from step to step up to all of the memory`, async (t) => {
    const told = await saveAndListen(setup, options);
    t.deepEqual(
      told.map(({ step }) => step).filter((step, index, all) => step !== all[index - 1]),
      STEPS[way],
    );
    assertGrows(t, told);
    const last = told.at(-1);
    assert(last !== undefined);
    t.true(last.bytesTotal >= 128 * 2 ** 20, `${last.bytesTotal} bytes`);
    t.is(last.bytesDone, last.bytesTotal);
    t.is(last.pages * 4096, last.bytesTotal);
    t.is((last.pages - last.zeroPages) * 4096, last.dataBytes);
    t.is(last.remainingMs, 0);
  });
}

qemuTest(
  'a save that takes a while tells in the middle how fast it is and how long it will take',
  async (t) => {
    // A second and a half of writing, of which progress tells ten times a second at most.
    const region = { start: 16 * MIB, length: 24 * MIB };
    const told = await saveAndListen({ backend: 'ram', region }, { maxBandwidth: 16 * MIB });
    assertGrows(t, told);
    const middle = told.filter(({ bytesDone, bytesTotal }) => bytesDone > 0 && bytesDone < bytesTotal);
    t.true(middle.length > 1, JSON.stringify(told));
    for (const { bytesPerSecond, remainingMs, bytesDone, bytesTotal } of middle) {
      t.true(bytesPerSecond > 0);
      t.is(remainingMs, Math.round(((bytesTotal - bytesDone) / bytesPerSecond) * 1000));
    }
  },
);

qemuTest('a listener that throws does no harm', async (t) => {
  let calls = 0;
  await using dir = await temporaryDirectory();
  await using guest = await startGuest();
  await guest.waitForGenerations(1);
  const onProgress = (): never => {
    calls += 1;
    throw new Error('not my day');
  };
  t.like(await save(guest.qmp, dir.file('guest.snapshot'), { onProgress }), { verified: true, warnings: [] });
  t.true(calls > 0);
});

async function saveAndListen(
  setup: GuestSetup,
  options: Pick<SaveOptions, 'maxBandwidth' | 'writer' | 'xIgnoreShared'>,
): Promise<readonly SaveProgress[]> {
  const told: SaveProgress[] = [];
  await using dir = await temporaryDirectory();
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  await save(guest.qmp, dir.file('guest.snapshot'), {
    ...options,
    guard: 'off',
    onProgress: (progress) => told.push(progress),
  });
  return told;
}

function assertGrows(t: ExecutionContext, told: readonly SaveProgress[]): void {
  const grows = ['bytesTotal', 'bytesDone', 'dataBytes', 'pages', 'zeroPages', 'elapsedMs'] as const;
  for (const [index, now] of told.entries()) {
    const before = told[index - 1] ?? now;
    for (const name of grows)
      t.true(now[name] >= before[name], `${name}: ${before[name]}, then ${now[name]}`);
    t.true(now.bytesDone <= now.bytesTotal);
  }
}
