import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';

import { guestPageAddress, guestPattern, guestRegion } from '../../ts/guest/guest-region.ts';
import { readGuestStatus } from '../../ts/guest/guest-status.ts';
import { loadFrom, type MigrationOptions, saveTo } from '../support/plain-migration.ts';
import { KVM_REGION, kvmTest } from '../support/kvm-test.ts';
import { type GuestSetup, MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';

for (const machine of ['q35', 'pc', 'microvm,acpi=on']) {
  qemuTest(`the guest boots on ${machine} under TCG`, (t) => boots(t.deepEqual, { machine }));
}
for (const machine of ['q35', 'pc']) {
  kvmTest(`the guest boots on ${machine} under KVM`, (t) =>
    boots(t.deepEqual, { machine, accel: 'kvm', region: KVM_REGION }),
  );
}

/** Changes a byte to one that it was not: what a guest has written there is known only to the guest. */
async function flipBit(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.write(Uint8Array.of(buffer.readUInt8() ^ 1), 0, 1, offset);
}

async function boots(same: (a: unknown, b: unknown) => boolean, setup: GuestSetup): Promise<void> {
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(5);
  const { generation, page } = await guest.checkMemory();
  assertPrinted(guest.serial(), generation);
  assertPrinted(guest.debugcon(), generation);
  const status = await readGuestStatus(await guest.physicalReader());
  // A guest that prints the letter of a pass has counted it, and has not begun the next one.
  const isBetween = page === guestRegion(guest.region).pages && status.passes === generation;
  same([status.error, status.passes, status.generation], [0, generation - (isBetween ? 0 : 1), generation]);
}

qemuTest(
  'a guest whose pages lie scattered finds each of them, and so does a look from outside',
  async (t) => {
    const region = { start: 16 * MIB, length: 5 * MIB, span: 64 * MIB };
    await using guest = await startGuest({ region });
    await guest.waitForGenerations(3);
    const { page } = await guest.checkMemory();
    t.true(page <= region.length / 4096);
    const [place] = [guestPageAddress(guestRegion(region), 100)];
    const words = new Set(new Uint32Array((await guest.readPhysical(place, 4096)).buffer));
    t.is(words.size, 1);
    await guest.assertAlive();
  },
);

qemuTest(
  'the memory follows the pattern whenever the guest is stopped, across two NUMA blocks',
  async (t) => {
    await using guest = await startGuest({ numa: true });
    await guest.waitForGenerations(1);
    const pages = new Set<number>();
    for (let stop = 0; stop < 12; stop += 1) {
      const { page } = await guest.checkMemory();
      pages.add(page);
      await guest.cont();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    }
    t.true(pages.size > 6, `stopped at pages ${[...pages].join()}`);
    const { start, length } = guestRegion(guest.region);
    await guest.stop();
    const read = await guest.physicalReader();
    const border = read(64 * MIB - 4096, 8192);
    t.true(start < 64 * MIB && start + length > 64 * MIB);
    t.deepEqual(border.subarray(0, 4096), await guest.readBlock('m0', 64 * MIB - 4096, 4096));
    t.deepEqual(border.subarray(4096), await guest.readBlock('m1', 0, 4096));
  },
);

qemuTest("the blocks' memory is what the guest sees", async (t) => {
  for (const setup of [
    {},
    { numa: true, backend: 'memfd', share: true },
    { backend: 'file', share: true },
  ] as const) {
    await using directory = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(2);
    await guest.stop();
    const { start = 0, length = 0 } = guest.region;
    const path = directory.file('pmem');
    await guest.qmp.execute('pmemsave', { val: start, size: length, filename: path });
    t.is(firstDifference(await readFile(path), await guest.readPhysical(start, length)), undefined);
  }
});

qemuTest('a page changed behind its back makes the guest report it and halt', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest({ backend: 'file', share: true, memPathDir: directory.path });
  const { start, pages } = guestRegion(guest.region);
  await guest.waitForGenerations(2);
  const { page, generation } = await guest.checkMemory();
  const victim = (page + pages / 2) % pages;
  await flipBit(directory.file('m0.ram'), start + victim * 4096 + 4095);
  await t.throwsAsync(guest.checkMemory(), { message: new RegExp(`page ${victim} .* wrong in word 1023`) });
  await guest.cont();
  await guest.waitForError();
  await t.throwsAsync(guest.checkMemory(), {
    message: new RegExp(`the guest found its page ${victim} wrong`),
  });
  const status = await readGuestStatus(await guest.physicalReader());
  t.deepEqual([status.page, status.badPage, status.error], [victim, victim, 1]);
  t.is(guest.serial(), `${letters(1, status.generation)}E`);
  t.true(status.generation - generation <= 1);
});

qemuTest('a stale status block makes the guest report it and halt', async (t) => {
  await using directory = await temporaryDirectory();
  await using guest = await startGuest({ backend: 'file', share: true, memPathDir: directory.path });
  await guest.waitForGenerations(2);
  const { generation } = await guest.checkMemory();
  const file = await open(directory.file('m0.ram'), 'r+');
  await file.write(Uint8Array.of(generation - 1), 0, 1, 0x6008);
  await file.close();
  await guest.cont();
  await guest.waitForError();
  await t.throwsAsync(guest.checkMemory(), { message: /the guest found its status block wrong/ });
});

qemuTest('the guest starts over when the machine is reset', async (t) => {
  await using guest = await startGuest({ extraArgs: ['-action', 'reboot=reset'] });
  await guest.waitForGenerations(3);
  await guest.stop();
  const before = guest.serial();
  await guest.qmp.execute('system_reset');
  await guest.cont();
  await guest.waitForGenerations(3);
  await guest.checkMemory();
  t.true(guest.serial().slice(before.length).startsWith('bcd'), guest.serial());
});

const WAYS: readonly (readonly [string, MigrationOptions])[] = [
  ['one channel', {}],
  ['multifd', { multifd: true, channels: 3 }],
  ['multifd and direct-io', { multifd: true, channels: 3, directIo: true }],
];

for (const [way, options] of WAYS) {
  qemuTest(`a guest saved by QEMU with ${way} goes on where it stopped`, async (t) => {
    await using directory = await temporaryDirectory();
    const uri = `file:${directory.file('snapshot')}`;
    await using source = await startGuest({ numa: true });
    await source.waitForGenerations(3);
    const saved = await source.checkMemory();
    const info = await saveTo(source.qmp, uri, options);
    t.is(info.status, 'completed');
    t.is(info.ram?.remainingBytes, 0);

    await using clone = await startGuest({ numa: true, incoming: true });
    await loadFrom(clone.qmp, uri, options);
    t.is(await clone.runState(), 'paused');
    t.deepEqual(await clone.checkMemory(), saved);
    for (const id of ['m0', 'm1']) {
      const [original, copy] = [
        await source.readBlock(id, 0, 64 * MIB),
        await clone.readBlock(id, 0, 64 * MIB),
      ];
      t.is(firstDifference(original, copy), undefined, id);
    }
    const { generation } = await clone.assertAlive();
    assertPrinted(source.serial() + clone.serial(), generation);

    await source.assertAlive();
  });
}

kvmTest('a guest saved under KVM goes on where it stopped', async (t) => {
  await using directory = await temporaryDirectory();
  const uri = `file:${directory.file('snapshot')}`;
  const setup: GuestSetup = { accel: 'kvm', region: KVM_REGION };
  await using source = await startGuest(setup);
  await source.waitForGenerations(2);
  const saved = await source.checkMemory();
  await saveTo(source.qmp, uri, { multifd: true, directIo: true });
  await using clone = await startGuest({ ...setup, incoming: true });
  await loadFrom(clone.qmp, uri, { multifd: true, directIo: true });
  t.deepEqual(await clone.checkMemory(), saved);
  const { generation } = await clone.assertAlive();
  assertPrinted(source.serial() + clone.serial(), generation);
});

qemuTest('a guest saved while it runs goes on running', async (t) => {
  await using directory = await temporaryDirectory();
  const uri = `file:${directory.file('snapshot')}`;
  await using source = await startGuest();
  await source.waitForGenerations(2);
  await saveTo(source.qmp, uri, { multifd: true });
  t.is(await source.runState(), 'postmigrate');
  await source.checkMemory();
  await using clone = await startGuest({ incoming: true });
  await loadFrom(clone.qmp, uri, { multifd: true });
  await clone.waitForGenerations(3);
  const { generation } = await clone.checkMemory();
  assertPrinted(source.serial() + clone.serial(), generation);
});

qemuTest('a restored guest finds one corrupt byte of its snapshot', async (t) => {
  await using directory = await temporaryDirectory();
  const path = directory.file('snapshot');
  await using source = await startGuest();
  const { start, pages } = guestRegion(source.region);
  await source.waitForGenerations(3);
  const { generation, page } = await source.checkMemory();
  await saveTo(source.qmp, `file:${path}`);

  // The victim is a page that is not zero, some pages on: the guest has yet to check it in this generation or the next.
  let victim = (page + 100) % pages;
  const written = (): number => (victim < page ? generation : generation - 1);
  while (guestPattern(written(), victim) === 0) victim += 1;
  const offset = (await pagesOffset(path, 'pc.ram')) + start + victim * 4096 + 2048;
  {
    await using file = await open(path);
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, offset);
    t.is(buffer.readUInt32LE(), guestPattern(written(), victim));
  }
  await flipBit(path, offset);

  await using clone = await startGuest({ incoming: true });
  await loadFrom(clone.qmp, `file:${path}`);
  await t.throwsAsync(clone.checkMemory(), { message: new RegExp(`page ${victim} .* wrong in word 512`) });
  await clone.cont();
  await clone.waitForError();
  await t.throwsAsync(clone.assertAlive(), { message: /found its memory wrong/ });
  await t.throwsAsync(clone.checkMemory(), {
    message: new RegExp(`the guest found its page ${victim} wrong`),
  });
});

qemuTest('nothing is left of a guest', async (t) => {
  const guest = await startGuest({ backend: 'file', share: true });
  t.true(existsSync(guest.directory));
  await guest.close();
  t.false(existsSync(guest.directory));
  t.false(existsSync(`/proc/${guest.qemu.pid}`));
  await t.throwsAsync(startGuest({ extraArgs: ['-no-such-option'] }), { message: /no-such-option/ });
});

/** The index of the first byte that differs. ava's own comparison is not made for megabytes. */
function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  if (a.length === b.length && Buffer.compare(a, b) === 0) return undefined;
  const index = a.findIndex((byte, at) => byte !== b[at]);
  return index === -1 ? a.length : index;
}

/** The offset of a block's pages (docs/format.md §2.2 and §2.3). */
async function pagesOffset(path: string, id: string): Promise<number> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const at = buffer.indexOf(Buffer.from(id));
    return Number(buffer.readBigUInt64BE(at + id.length + 8 + 20));
  } finally {
    await file.close();
  }
}

/**
 * Fails unless a guest at `generation` has printed a letter for each generation before. A guest that stops between its
 * print and the next generation has printed one more.
 */
function assertPrinted(text: string, generation: number): void {
  const most = letters(1, generation + 1);
  assert.ok([most, most.slice(0, -1)].includes(text), `printed ${text} by generation ${generation}`);
}

/** The letters that the guest prints in the generations from `first` up to, but not including, `end`. */
function letters(first: number, end: number): string {
  return Array.from({ length: end - first }, (_, index) =>
    String.fromCharCode(97 + ((first + index) % 26)),
  ).join('');
}
