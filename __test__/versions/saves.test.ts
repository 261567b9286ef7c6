import { readdir, readFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { AFTER_SAVE, type AfterSave } from '../../ts/negotiate/request.ts';
import type { SaveOptions } from '../../ts/save/save-options.ts';
import { planSave, save } from '../../ts/save/save.ts';
import { run, settings } from '../negotiate/carry-out.ts';
import { type GuestSetup, startGuest, type TestGuest } from '../support/qemu.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { errorsIn, privateGuest, refusal, sharedGuest } from './guests.ts';
import { type Version, VERSIONS, versionsTest } from './qemus.ts';
import { assertDocumented, type Outcome, OutcomeTable, yes } from './table.ts';

/** A way to save. Each is tried with every version. */
interface Way {
  readonly title: string;
  readonly setup: (version: Version) => GuestSetup;
  readonly options: SaveOptions;
}

const WAYS: readonly Way[] = [
  { title: 'by the engine, shared memory', setup: sharedGuest, options: { writer: 'engine', seal: true } },
  { title: 'by QEMU, private memory', setup: privateGuest, options: { writer: 'qemu' } },
  {
    title: 'by QEMU, `mapped-ram` demanded',
    setup: privateGuest,
    options: { writer: 'qemu', mappedRam: 'on' },
  },
  {
    title: 'by QEMU, several channels and direct I/O demanded',
    setup: privateGuest,
    options: { writer: 'qemu', channels: 2, directIo: 'on' },
  },
  {
    title: 'by QEMU, without its shared memory',
    setup: sharedGuest,
    options: { writer: 'qemu', xIgnoreShared: 'on' },
  },
  {
    title: 'by QEMU, without its shared memory, `mapped-ram` demanded',
    setup: sharedGuest,
    options: { writer: 'qemu', xIgnoreShared: 'on', mappedRam: 'on' },
  },
];

const table = new OutcomeTable('Save', VERSIONS);

for (const version of VERSIONS) {
  for (const { title, setup, options } of WAYS) {
    versionsTest(`QEMU ${version}, a save ${title}`, async (t) => {
      await using dir = await temporaryDirectory();
      await using guest = await startGuest(setup(version));
      await guest.waitForGenerations(2);
      const outcome = await savesOrRefuses(t, guest, dir, options);
      table.set(title, version, outcome);
      // Saved or refused: the guest goes on.
      await guest.assertAlive();
    });
  }

  for (const after of AFTER_SAVE) {
    for (const [writer, setup] of [
      ['engine', sharedGuest],
      ['qemu', privateGuest],
    ] as const) {
      versionsTest(`QEMU ${version}, a save by ${writer}, then ${after}`, async (t) => {
        await using dir = await temporaryDirectory();
        await using guest = await startGuest(setup(version));
        await guest.waitForGenerations(1);
        const saved = await save(guest.qmp, dir.file('snapshot'), { writer, after });
        const { runState, warnings, capture } = saved;
        t.deepEqual(warnings, []);
        // A guest that was taken out of QEMU's process was not migrated.
        t.is(runState, after === 'stop' && capture !== undefined ? 'paused' : RUN_STATES[after]);
        if (after === 'quit') t.is((await guest.qemu.exited).code, 0, guest.qemu.stderr);
        else await guest.assertAlive();
      });
    }
  }

  versionsTest(`QEMU ${version} pipes a plain stream through a program`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(privateGuest(version));
    const path = dir.file('piped');
    const { format } = await save(guest.qmp, `exec:cat >${path}`, { mappedRam: 'off', after: 'cont' });
    t.is(format, 'stream');
    t.is((await readFile(path)).readUInt32BE(0), 0x51_45_56_4d);
    table.set('by QEMU, a plain stream through `exec:`', version, yes('plain stream'));
    await guest.assertAlive();
  });

  versionsTest(`QEMU ${version} goes on after a save that was given up`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(privateGuest(version));
    await guest.waitForGenerations(1);
    const before = await settings(guest.qmp);
    const given = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => given.abort(reason), 500);
    const slow = save(guest.qmp, dir.file('snapshot'), { maxBandwidth: 4096, signal: given.signal });
    await t.throwsAsync(slow, { is: reason });
    t.deepEqual(await settings(guest.qmp), before);
    t.deepEqual(await readdir(dir.path), []);
    await guest.assertAlive();
  });
}

versionsTest('QEMU 11.1 goes on with the memory that a snapshot with x-ignore-shared left out', async (t) => {
  await using dir = await temporaryDirectory();
  const setup = sharedGuest('11.1', dir.path);
  const target = dir.file('snapshot');
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    const options = { writer: 'qemu', xIgnoreShared: 'on', after: 'quit' } as const;
    t.is((await save(guest.qmp, target, options)).format, 'mapped-ram');
  }
  await using guest = await startGuest({ ...setup, incoming: true });
  const plan = await run(guest.qmp, { direction: 'restore', target });
  t.like(plan, { mappedRam: { value: true }, xIgnoreShared: { value: true } });
  await guest.assertAlive();
});

versionsTest('the document has these saves', (t) => assertDocumented(t, 'saves', table));

const RUN_STATES: Readonly<Record<AfterSave, string | undefined>> = {
  cont: 'running',
  stop: 'postmigrate',
  quit: undefined,
};

/** Saves as the plan says. What the plan refuses leaves nothing behind. */
async function savesOrRefuses(
  t: ExecutionContext,
  { qmp }: TestGuest,
  dir: TemporaryDirectory,
  options: SaveOptions,
): Promise<Outcome> {
  const before = await settings(qmp);
  const path = dir.file('snapshot');
  try {
    const plan = await planSave(qmp, path, options);
    const { format, writer, verified } = await save(qmp, path, options);
    t.deepEqual(
      { format, writer, verified },
      { format: plan.format, writer: plan.writer.value, verified: true },
    );
    if (format === 'stream') return yes('plain stream');
    t.deepEqual(await errorsIn(path), []);
    await using snapshot = await Snapshot.open(path);
    t.true(snapshot.index.complete);
    return yes('snapshot');
  } catch (error) {
    const outcome = refusal(error);
    t.deepEqual(await readdir(dir.path), []);
    return outcome;
  } finally {
    t.deepEqual(await settings(qmp), before);
  }
}
