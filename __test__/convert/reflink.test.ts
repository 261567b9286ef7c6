import { spawnSync } from 'node:child_process';
import { rm, stat, statfs } from 'node:fs/promises';

import test from 'ava';

import { diff, flatten, Snapshot, verify, writeDelta } from '../../ts/index.ts';
import { GUEST, twoSnapshots, writeSnapshot, type Content } from '../delta/two-snapshots.ts';
import { filesystem } from '../support/loop-filesystem.ts';
import { memoryOf } from '../support/memory-of.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;

async function setPages(path: string): Promise<readonly number[]> {
  await using snapshot = await Snapshot.open(path);
  return (await snapshot.info()).blocks.map((block) => block.setPages);
}

async function usedIn(path: string): Promise<number> {
  spawnSync('sync', ['-f', path]);
  const { blocks, bfree, bsize } = await statfs(path);
  return (blocks - bfree) * bsize;
}

test('a filesystem that shares no blocks gets a copy, and refuses a reflink', async (t) => {
  await using dir = await temporaryDirectory('/dev/shm');
  const { delta, later } = await twoSnapshots(dir, GUEST);
  const path = dir.file('flat.mr');
  const result = await flatten(delta, path);
  t.is(result.form, 'copy');
  t.regex(result.why, /tmpfs has no blocks that two files share/);
  t.true((await diff(path, later)).equal);
  await t.throwsAsync(flatten(delta, dir.file('other.mr'), { form: 'reflink' }), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /share the blocks/,
  });
  await t.throwsAsync(stat(dir.file('other.mr')));
});

for (const kind of ['xfs', 'btrfs'] as const) {
  test.serial(
    `${kind}: flatten shares the blocks of the base, and equals delta and base page by page`,
    async (t) => {
      await using outer = await temporaryDirectory();
      const dir = await filesystem(t, outer, kind);
      if (dir === undefined) {
        t.pass('this machine has no such filesystem');
        return;
      }
      const { delta, base, later } = await twoSnapshots(dir, GUEST);
      const path = dir.file('flat.mr');
      t.is((await flatten(delta, path)).form, 'reflink');
      t.true((await diff(path, later)).equal);
      t.true((await verify(path)).verified);
      const copied = dir.file('copied.mr');
      await flatten(delta, copied, { form: 'copy' });
      t.deepEqual(await setPages(path), await setPages(copied));
      await rm(base);
      const [one, other] = [await memoryOf(path), await memoryOf(copied)];
      for (const [id, bytes] of one) t.is(Buffer.compare(bytes, other.get(id) ?? bytes.subarray(1)), 0, id);
      t.is(spawnSync('umount', [dir.path]).status, 0);
    },
  );

  test.serial(
    `${kind}: what is flattened takes little more room than the pages that have changed`,
    async (t) => {
      await using outer = await temporaryDirectory();
      const dir = await filesystem(t, outer, kind);
      if (dir === undefined) {
        t.pass('this machine has no such filesystem');
        return;
      }
      const before = Array.from({ length: 16_384 }, (_, page): Content => page + 1);
      // Scattered pages are the worst case.
      const after = before.map((content, page) => (page % 16 === 5 ? page + 100_000 : content));
      const { base, delta } = await bigSnapshots(dir, before, after);
      const used = await usedIn(dir.path);
      const result = await flatten(delta, dir.file('flat.mr'));
      t.is(result.form, 'reflink');
      const changed = 1024 * 4096;
      t.is(result.dataBytes, changed);
      const grown = (await usedIn(dir.path)) - used;
      t.true(grown <= changed * 1.2 + 2 * MIB, `${grown} bytes more for ${changed}`);
      t.true((await stat(base)).blocks * 512 > 16 * changed - MIB);
      t.is(spawnSync('umount', [dir.path]).status, 0);
    },
  );
}

async function bigSnapshots(
  dir: TemporaryDirectory,
  before: readonly Content[],
  after: readonly Content[],
): Promise<{ readonly base: string; readonly delta: string }> {
  const [base, later, delta] = [dir.file('base.mr'), dir.file('later.mr'), dir.file('guest.delta')];
  await writeSnapshot(base, [{ id: 'pc.ram', contents: before }]);
  await writeSnapshot(later, [{ id: 'pc.ram', contents: after }]);
  await using memory = await Snapshot.open(later);
  await writeDelta(delta, { base, state: memory, ram: { 'pc.ram': { memory, compare: true } } });
  return { base, delta };
}
