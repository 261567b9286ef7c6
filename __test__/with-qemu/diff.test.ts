import { open } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { diff, pack, Snapshot, unpack, type SnapshotDiff } from '../../ts/index.ts';
import { loadFrom, saveTo } from '../support/plain-migration.ts';
import { blockContent, kindsOf, naiveDiff, ramContent } from '../support/naive-diff.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../support/ways.ts';

const multifd = { multifd: true, channels: 3 };

/** The kinds of differences that a page loop finds, by block. */
async function expectedOf(left: string, right: string): Promise<ReadonlyMap<string, Kinds>> {
  await using snapshot = await Snapshot.open(left);
  const expected = new Map<string, Kinds>();
  for (const { id } of snapshot.completeRam().blocks)
    expected.set(id, naiveDiff(await blockContent(left, id), await blockContent(right, id)));
  return expected;
}

type Kinds = readonly (string | undefined)[];

function assertAsLoop(
  t: ExecutionContext,
  { blocks }: SnapshotDiff,
  expected: ReadonlyMap<string, Kinds>,
): void {
  t.deepEqual(
    blocks.map(({ id }) => id),
    [...expected.keys()],
  );
  for (const block of blocks) {
    const kinds = expected.get(block.id) ?? [];
    // ava's own comparison of so many elements is slow.
    t.is(JSON.stringify(kindsOf(block.runs(), kinds.length)), JSON.stringify(kinds), block.id);
    t.is(block.pages - block.same, differing(kinds), block.id);
  }
}

function differing(kinds: Kinds): number {
  return kinds.filter((kind) => kind !== undefined).length;
}

for (const options of [{}, multifd]) {
  const way = 'multifd' in options ? 'with multifd' : 'with one channel';
  qemuTest(`what a running guest changed between two saves is what a page loop finds: ${way}`, async (t) => {
    await using dir = await temporaryDirectory();
    const [left, right] = [dir.file('left'), dir.file('right')];
    await using guest = await startGuest({ numa: true, extraArgs: ['-device', 'VGA'] });
    await guest.waitForGenerations(2);
    await saveTo(guest.qmp, `file:${left}`, options);
    await guest.cont();
    await guest.waitForGenerations(1);
    await saveTo(guest.qmp, `file:${right}`, options);
    const expected = await expectedOf(left, right);
    const different = [...expected.values()].reduce((sum, kinds) => sum + differing(kinds), 0);
    t.true(different > 1000, `${different} pages`);
    for (const engineWay of WAYS) {
      const there = await diff(left, right, engineWay);
      assertAsLoop(t, there, expected);
      t.false(there.equal);
      const [cpu] = there.sections?.filter(({ name }) => name === 'cpu') ?? [];
      t.true(
        (cpu?.fields ?? []).some(({ path }) => path.startsWith('env.')),
        JSON.stringify(cpu?.firstDifference),
      );
    }
  });
}

qemuTest('a guest that stood still between two saves has no difference in RAM', async (t) => {
  await using dir = await temporaryDirectory();
  const [left, right] = [dir.file('left'), dir.file('right')];
  await using guest = await startGuest();
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${left}`);
  // A saved guest must go on before it can be saved again. The second save is a clone's, which has not run.
  await using clone = await startGuest({ incoming: true });
  await loadFrom(clone.qmp, `file:${left}`);
  await saveTo(clone.qmp, `file:${right}`, { ...multifd, directIo: true });
  const { blocks, notCompared } = await diff(left, right);
  t.true(blocks.length >= 4);
  t.deepEqual(notCompared, []);
  for (const block of blocks) t.true(block.equal, `${block.id}: ${JSON.stringify(Array.from(block.runs()))}`);
});

qemuTest("QEMU's snapshot has no difference from itself after unpack and pack", async (t) => {
  await using dir = await temporaryDirectory();
  const [left, again] = [dir.file('left'), dir.file('again')];
  await using guest = await startGuest({ numa: true });
  await guest.waitForGenerations(2);
  await saveTo(guest.qmp, `file:${left}`, multifd);
  await using snapshot = await Snapshot.open(left);
  const ids = snapshot.completeRam().blocks.map(({ id }) => id);
  const ram = Object.fromEntries(ids.map((id, index) => [id, dir.file(`${index}.ram`)]));
  await unpack(left, { ram, state: dir.file('state') });
  await pack(again, { state: dir.file('state'), ram });
  const there = await diff(left, again);
  t.true(there.equal, JSON.stringify(there.sections));
  t.deepEqual(there.sections, []);
  const expected = await expectedOf(left, again);
  t.true([...expected.values()].every((kinds) => differing(kinds) === 0));
  assertAsLoop(t, there, expected);
  t.true((await diff(left, { ram })).equal);
});

qemuTest('a snapshot is compared with the memory of the stopped guest that it was made of', async (t) => {
  await using dir = await temporaryDirectory();
  const left = dir.file('left');
  await using guest = await startGuest({ backend: 'file', share: true, memPathDir: dir.path });
  await guest.waitForGenerations(2);
  await guest.stop();
  await saveTo(guest.qmp, `file:${left}`);
  const ram = { m0: dir.file('m0.ram') };
  t.true((await diff(left, { ram })).equal);
  await guest.cont();
  await guest.waitForGenerations(1);
  await guest.stop();
  const there = await diff(left, { ram });
  const expected = naiveDiff(await blockContent(left, 'm0'), await ramContent(ram.m0));
  const [block] = there.blocks;
  t.is(JSON.stringify(kindsOf(block?.runs() ?? [], expected.length)), JSON.stringify(expected));
  t.true(expected.some((kind) => kind !== undefined));
  // One bit more differs now.
  const page = expected.findIndex((kind, index) => kind === undefined && index > 100);
  await using handle = await open(ram.m0, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, page * PAGE + 5);
  await handle.write(Uint8Array.of(buffer.readUInt8() ^ 0x80), 0, 1, page * PAGE + 5);
  const kinds = kindsOf((await diff(left, { ram })).blocks[0]?.runs() ?? [], expected.length);
  t.not(kinds[page], undefined);
});
