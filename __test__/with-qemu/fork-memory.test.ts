import { readdirSync, readlinkSync, statfsSync, statSync } from 'node:fs';

import test from 'ava';

import { ForkRig } from '../support/fork-rig.ts';
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
