import { readdirSync, readlinkSync, statfsSync, statSync } from 'node:fs';

import test from 'ava';

import { ForkSource } from '../../ts/fork/fork-source.ts';
import type { AvailableMemory } from '../../ts/host/available-memory.ts';
import { ForkRig, SOURCES } from '../support/fork-rig.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { MIB } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

/** The type of tmpfs, which files in memory have, too. */
const TMPFS = 0x01021994;

let dir: TemporaryDirectory;
test.before(async () => {
  dir = await temporaryDirectory();
});
test.after.always(() => dir[Symbol.asyncDispose]());

qemuTest('pages of a fork that nobody keeps never reach a disk, however many have changed', async (t) => {
  // Everything that the guest has changed is more than a state stream elsewhere has in memory.
  const region = { start: 16 * MIB, length: 80 * MIB };
  await using rig = await ForkRig.start('clone', dir, { region });
  await using slots = await rig.prepare(1);
  t.is(slots.form, 'delta');
  const seen = new Map<string, string>();
  const look = (): void => {
    for (const [name, place] of namelessFiles('self')) seen.set(name, place);
  };
  const timer = setInterval(look, 1);
  const forked = await slots.fork().finally(() => clearInterval(timer));
  await using _ = forked;
  for (const { qemu } of forked.guests) {
    for (const [name, place] of namelessFiles(String(qemu.pid))) seen.set(name, place);
  }
  t.true(forked.bytes > 80 * MIB, `${forked.bytes} bytes`);
  const places = [...seen.entries()];
  t.true(
    places.some(([, place]) => place === 'memory'),
    'the look sees files without a name',
  );
  t.deepEqual(
    places.filter(([, place]) => place !== 'memory'),
    [],
  );
});

for (const kind of SOURCES) {
  qemuTest(
    `a fork of a ${kind} guest that would not fit in memory is refused before the pause`,
    async (t) => {
      await using rig = await ForkRig.start(kind, dir);
      const { qmp } = rig.source;
      const wait = { timeoutMs: 60_000 };
      const refused = {
        code: 'ERR_MAPPED_RAM_IO',
        message: /too little memory for the fork.*expected \d+ bytes.*found 4096 bytes, by the test/s,
      };
      await assertNoLeak(t, refuse, refuse);
      async function refuse(): Promise<void> {
        await t.throwsAsync(ForkSource.open(qmp, wait, left(4096)), refused);
      }
      // Less than the guest's memory, and more than it has in use: 8 MiB change.
      await using enough = await ForkSource.open(qmp, wait, left(60 * MIB));
      await enough.assertUnchanged(wait);
      await using unknown = await ForkSource.open(qmp, wait, () => undefined);
      await unknown.assertUnchanged(wait);
      let bytes = 4096 * MIB;
      await using later = await ForkSource.open(qmp, wait, () => left(bytes)());
      bytes = 4096;
      await t.throwsAsync(later.assertUnchanged(wait), refused);
      t.is(await rig.source.runState(), 'running');
    },
  );
}

/** The regular files without a name that a process has open, and whether they are in memory. */
function namelessFiles(pid: string): readonly (readonly [string, string])[] {
  const directory = `/proc/${pid}/fd`;
  return readdirSync(directory).flatMap((fd) => {
    const path = `${directory}/${fd}`;
    try {
      const stats = statSync(path);
      if (!stats.isFile() || stats.nlink > 0) return [];
      return [[readlinkSync(path), statfsSync(path).type === TMPFS ? 'memory' : 'disk'] as const];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
}

/** A host that has so much memory left. */
function left(bytes: number): () => AvailableMemory {
  return () => ({ bytes, limitedBy: 'the test' });
}
