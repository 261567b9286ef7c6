import { link, open, rename, symlink, writeFile } from 'node:fs/promises';

import test from 'ava';

import { identityOf, isSameFile } from '../../ts/host/file-identity.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test('a file is the same under each of its names and behind a descriptor', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('one');
  await writeFile(path, 'x');
  await link(path, dir.file('link'));
  await symlink(path, dir.file('symlink'));
  await using handle = await open(path, 'r');
  await rename(path, dir.file('renamed'));
  await writeFile(path, 'x');
  const identity = identityOf(handle.fd);
  t.truthy(identity);
  for (const [name, isSame] of [
    ['renamed', true],
    ['link', true],
    ['symlink', false],
    ['one', false],
  ] as const) {
    const other = identityOf(dir.file(name));
    t.is(identity && other && isSameFile(identity, other), isSame, name);
  }
});

test('nothing identifies a file that is not there, and a descriptor that is not open', async (t) => {
  await using dir = await temporaryDirectory();
  t.is(identityOf(dir.file('none')), undefined);
  t.is(identityOf(2 ** 30), undefined);
});
