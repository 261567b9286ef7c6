import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { buildGuest } from '../../ts/guest/build-guest.ts';
import { GUEST_DISK_SIZE, writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';

test('the disk begins with the guest and is empty otherwise', async (t) => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'guest.img');
    await writeGuestDisk(path, { length: 4096 });
    const disk = await readFile(path);
    t.is(disk.length, GUEST_DISK_SIZE);
    t.deepEqual(new Uint8Array(disk.subarray(0, 512)), buildGuest({ length: 4096 }));
    t.true(disk.subarray(512).every((byte) => byte === 0));
  });
});

test('an existing file is left alone', async (t) => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'guest.img');
    await writeFile(path, 'precious');
    await t.throwsAsync(writeGuestDisk(path), { code: 'ERR_MAPPED_RAM_EXISTS' });
    t.is(await readFile(path, 'utf8'), 'precious');
  });
});

test('a failing file system is reported with its cause', async (t) => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'missing', 'guest.img');
    const error = await t.throwsAsync(writeGuestDisk(path), { code: 'ERR_MAPPED_RAM_IO' });
    t.like(error, { path, cause: { code: 'ENOENT' } });
  });
});

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-'));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}
