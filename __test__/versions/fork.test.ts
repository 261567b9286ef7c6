import test, { type ExecutionContext } from 'ava';

import { ForkRig, type SourceKind, SOURCES } from '../support/fork-rig.ts';
import type { GuestSetup } from '../support/qemu.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { sharedGuest } from './guests.ts';
import { binaryOf, I440FX, Q35, versionsTest, WITH_MAPPED_RAM, WITHOUT_MAPPED_RAM } from './qemus.ts';

const directory = await temporaryDirectory();
test.after.always(() => directory[Symbol.asyncDispose]());

/** Forks a guest, and lets it and its clones live. */
async function assertForks(
  t: ExecutionContext,
  kind: SourceKind,
  setup: GuestSetup,
  binary?: string,
): Promise<void> {
  await using rig = await ForkRig.start(kind, directory, setup);
  {
    await using forked = await rig.fork(2, binary === undefined ? {} : { binary });
    t.is(forked.form, kind === 'clone' ? 'delta' : 'whole');
    for (const guest of forked.guests) {
      t.is(guest.runState, 'running');
      await rig.clone(guest).assertAlive();
    }
  }
  await rig.assertAsBefore(t, kind);
  await rig.source.assertAlive();
}

for (const version of WITH_MAPPED_RAM) {
  const binary = binaryOf(version);
  for (const kind of SOURCES) {
    versionsTest(`QEMU ${version} has its guests forked: ${kind}, q35`, (t) =>
      assertForks(t, kind, { binary, machine: Q35, memoryMiB: 64 }),
    );
    versionsTest(`QEMU ${version} has its guests forked: ${kind}, i440fx with QEMU's own devices`, (t) =>
      assertForks(t, kind, { binary, machine: I440FX, memoryMiB: 64, defaults: true }),
    );
  }
  versionsTest(`QEMU ${version} has its guests forked: memory in two blocks`, (t) =>
    assertForks(t, 'clone', { binary, machine: Q35, numa: true }),
  );
  versionsTest(`QEMU ${version} has its guests forked: memory in a shared file`, (t) =>
    assertForks(t, 'fresh', sharedGuest(version)),
  );
}

versionsTest('a guest of one QEMU goes on in clones of another', (t) =>
  assertForks(t, 'clone', { binary: binaryOf('10.0'), machine: Q35, memoryMiB: 64 }, binaryOf('11.1')),
);

for (const version of WITHOUT_MAPPED_RAM) {
  versionsTest(`QEMU ${version} is refused for clones: it cannot map a part of a file`, async (t) => {
    await using rig = await ForkRig.start('fresh', directory, {
      binary: binaryOf(version),
      machine: Q35,
      memoryMiB: 64,
    });
    await t.throwsAsync(rig.fork(1), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    await rig.assertAsBefore(t, version);
  });
}
