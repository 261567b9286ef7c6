import { rm, stat } from 'node:fs/promises';

import test from 'ava';

import { prepareFork } from '../../ts/fork/prepare-fork.ts';
import { save } from '../../ts/save/save.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { ForkRig, type SourceKind, SOURCES } from '../support/fork-rig.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { PoolGuests } from '../support/pool-guests.ts';
import type { TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

const FORMS: Readonly<Record<SourceKind, 'whole' | 'delta'>> = { fresh: 'whole', clone: 'delta' };

for (const kind of SOURCES) {
  qemuTest(`clones of a ${kind} guest go on from one moment, and so does the guest`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    const { source } = rig;
    const forked = await rig.fork(3, { after: 'stop' });
    const { form, base, writer, pauseMs, guests, times, bytes } = forked;
    t.is(form, FORMS[kind]);
    t.is(base === undefined, kind === 'fresh');
    t.is(writer, 'engine');
    t.true(pauseMs !== undefined && pauseMs > 0);
    t.true(bytes > 0);
    t.true(times.totalMs >= times.firstMs && times.firstMs > times.captureMs);
    t.deepEqual(
      guests.map(({ index, runState }) => [index, runState]),
      [
        [0, 'paused'],
        [1, 'paused'],
        [2, 'paused'],
      ],
    );
    t.is(await source.runState(), 'running');
    const clones = guests.map((guest) => rig.clone(guest));
    const begun = await generations(clones);
    t.is(new Set(begun).size, 1, begun.join());
    // The source goes on by itself, and so does each clone: nobody sees what others write.
    const gone = (await source.assertAlive()).generation;
    t.true(gone > (begun[0] ?? 0), `${gone} after ${begun[0]}`);
    const [first, ...others] = clones;
    t.true(((await first?.assertAlive())?.generation ?? 0) > (begun[0] ?? 0));
    t.deepEqual(await generations(others), begun.slice(1));
    for (const other of others) await other.assertAlive();
    t.is((await source.checkMemory()).generation, gone);
    await source.cont();
    await forked[Symbol.asyncDispose]();
    await rig.assertAsBefore(t, 'forked');
  });

  qemuTest(`the memory of clones of a ${kind} guest is its memory, byte for byte`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    const { source } = rig;
    await source.stop();
    await using forked = await rig.fork(2, { after: 'stop' });
    t.is(forked.pauseMs, undefined, 'it stood still before');
    t.is(await source.runState(), 'paused', 'and still does');
    const length = 128 * 2 ** 20;
    const expected = await source.readBlock('pc.ram', 0, length);
    for (const guest of forked.guests) {
      const found = await rig.clone(guest).readBlock('pc.ram', 0, length);
      t.is(Buffer.compare(found, expected), 0, `clone ${guest.index}`);
    }
  });

  qemuTest(`a fork of a ${kind} guest that was prepared takes no more than its load`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    await using slots = await rig.prepare(2);
    t.is(slots.size, 2);
    t.is(slots.form, FORMS[kind]);
    t.is(slots.base === undefined, kind === 'fresh');
    t.is(await rig.source.runState(), 'running');
    await rig.source.waitForGenerations(2);
    await using forked = await slots.fork();
    t.true(forked.times.prepareMs < forked.times.totalMs);
    for (const guest of forked.guests) {
      t.is(guest.runState, 'running');
      t.is(guest.mode, 'instant');
      t.is(guest.times.startMs, 0);
      t.true(guest.times.loadMs > 0);
      t.deepEqual(guest.warnings, []);
      t.true(guest.locked);
      t.true(guest.args.includes('-incoming'));
      await rig.clone(guest).assertAlive();
    }
    await t.throwsAsync(slots.fork(), { code: 'ERR_MAPPED_RAM_CLOSED', message: /were used/ });
    await rig.source.assertAlive();
  });

  qemuTest(`a clone of a ${kind} guest can be forked and saved in its turn`, async (t) => {
    await using rig = await ForkRig.start(kind, dir);
    await using parents = await rig.fork(1);
    const [parent] = parents.guests;
    t.not(parent, undefined);
    if (parent === undefined) return;
    const inside = rig.clone(parent);
    await inside.waitForGenerations(2);
    const others = new PoolGuests(dir);
    const args = (index: number): Promise<readonly string[]> => others.args(index + 10);
    await using slots = await prepareFork(parent.qemu.qmp, 2, rig.options({ args }));
    t.is(slots.form, 'delta', 'every clone maps a snapshot');
    await using children = await slots.fork();
    for (const child of children.guests) {
      await others.testGuest({ ...child, index: child.index + 10 }).assertAlive();
    }
    const snapshot = dir.file(`${kind}-child.mr`);
    const [child] = children.guests;
    await save(child?.qemu.qmp ?? inside.qmp, snapshot);
    await using opened = await Snapshot.open(snapshot);
    t.true((await opened.info()).complete);
    const increment = save(child?.qemu.qmp ?? inside.qmp, dir.file(`${kind}-more.mr`), { base: 'auto' });
    if (kind === 'clone') t.true((await increment).capture !== undefined);
    else
      await t.throwsAsync(increment, {
        message: /memory is that of a fork, in no file: save it whole first/,
      });
    await inside.assertAlive();
  });
}

qemuTest('numbers, command lines and states are asked of each clone', async (t) => {
  await using rig = await ForkRig.start('clone', dir);
  const asked: number[] = [];
  const args = async (index: number): Promise<readonly string[]> => {
    asked.push(index);
    return [...(await rig.guests.args(index)), '-name', `clone-${index}`, ...(index === 1 ? ['-S'] : [])];
  };
  await using forked = await rig.fork(3, { args });
  t.deepEqual(asked, [0, 1, 2]);
  t.deepEqual(
    forked.guests.map((guest) => guest.args.find((word) => word.startsWith('clone-'))),
    ['clone-0', 'clone-1', 'clone-2'],
  );
  t.deepEqual(
    forked.guests.map(({ runState }) => runState),
    ['running', 'paused', 'running'],
  );
  const [first] = forked.guests;
  await first?.[Symbol.asyncDispose]();
  t.deepEqual(
    forked.guests.map(({ qemu }) => qemu.qmp.isOpen),
    [false, true, true],
    'each ends by itself',
  );
});

qemuTest('the base of a fork is not touched, and may lose its name', async (t) => {
  await using rig = await ForkRig.start('clone', dir);
  await using slots = await rig.prepare(1);
  const base = slots.base ?? '';
  const before = await stat(base, { bigint: true });
  await using forked = await slots.fork();
  const after = await stat(base, { bigint: true });
  t.deepEqual([after.mtimeNs, after.blocks, after.size], [before.mtimeNs, before.blocks, before.size]);
  for (const guest of forked.guests) await rig.clone(guest).assertAlive();
  await rm(base);
  await using again = await rig.fork(1);
  t.is(again.form, 'delta');
  for (const guest of again.guests) await rig.clone(guest).assertAlive();
});

qemuTest('forks in a row leave this process, the source and its host as they were', async (t) => {
  await using rig = await ForkRig.start('clone', dir);
  const rounds = Number(process.env['MAPPED_RAM_FORKS'] ?? 6);
  const once = async (): Promise<void> => {
    await using forked = await rig.fork(1);
    t.is(forked.guests.length, 1);
  };
  await assertNoLeak(t, once, async () => {
    for (let round = 0; round < rounds; round += 1) await once();
  });
  await rig.assertAsBefore(t, `${rounds} forks`);
  await rig.source.assertAlive();
});

async function generations(guests: readonly TestGuest[]): Promise<readonly number[]> {
  const found: number[] = [];
  for (const guest of guests) found.push((await guest.checkMemory()).generation);
  return found;
}
