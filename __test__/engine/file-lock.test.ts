import { open } from 'node:fs/promises';

import test from 'ava';

import { pack } from '../../ts/pack/pack.ts';
import { lockFile } from '../../ts/engine/file-lock.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';

test('a snapshot that is in use is not written in place, and is free again afterwards', async (t) => {
  await using dir = await temporaryDirectory();
  await using snapshot = await syntheticSnapshot(dir, [{ id: 'm0', pages: 8 }]);
  const again = { state: dir.file('synthetic.state'), ram: { m0: dir.file('synthetic.ram0') } };
  await using user = await open(snapshot.path, 'r');
  await using writer = await open(snapshot.path, 'r+');
  t.true(lockFile(user.fd, 'shared', snapshot.path));
  await t.throwsAsync(pack({ fd: writer.fd }, again), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /guests run from it/,
  });
  // A pack that replaces the name leaves the file alone that is in use.
  await pack(snapshot.path, { ...again, overwrite: true });
  lockFile(user.fd, 'none', snapshot.path);
  await pack({ fd: writer.fd }, again);
  t.true(lockFile(user.fd, 'shared', snapshot.path), 'the writer has given its lock up');
});

test('a file that is being written is not mapped', async (t) => {
  await using dir = await temporaryDirectory();
  await using writer = await open(dir.file('x'), 'w+');
  await using user = await open(dir.file('x'), 'r');
  t.true(lockFile(writer.fd, 'exclusive', 'x'));
  const error = t.throws(() => lockFile(user.fd, 'shared', 'x'), {
    code: 'ERR_MAPPED_RAM_BUSY',
    message: /is being written/,
  });
  t.like(error.cause, { code: 'EWOULDBLOCK' });
});
