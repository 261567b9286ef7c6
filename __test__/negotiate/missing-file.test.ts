import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';

import test, { type ExecutionContext } from 'ava';

import { MappedRamError, type Plan, type RestoreRequest } from '../../ts/index.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { QmpPeer } from '../support/qmp-peer.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { situation } from './situations.ts';

/** Plans a restore with a QEMU that is known to be on this host, or is not. */
async function planFor(target: string, isLocal: boolean, more: Partial<RestoreRequest> = {}): Promise<Plan> {
  const request: RestoreRequest = { direction: 'restore', target, ...more };
  const { qemu: facts } = situation(request, { qemu: { passesDescriptors: isLocal } });
  await using qmp = await QmpClient.open(new QmpPeer().stream);
  return await negotiate(qmp, request, { facts });
}

/** Asserts that the error reaches the caller, although QEMU may be elsewhere. */
async function assertTold(t: ExecutionContext, path: string, errno: string): Promise<void> {
  for (const isLocal of [false, true]) {
    for (const mappedRam of ['auto', 'off'] as const) {
      const error = await t.throwsAsync(planFor(path, isLocal, { mappedRam }), {
        instanceOf: MappedRamError,
      });
      t.like(
        error,
        { code: 'ERR_MAPPED_RAM_IO', path, cause: { code: errno } },
        `${errno}: ${error?.message}`,
      );
    }
  }
}

test('a file that this host does not have is taken for one of another host, if QEMU may be there', async (t) => {
  await using dir = await temporaryDirectory();
  for (const path of [dir.file('none'), dir.file('no/directory/either')]) {
    const unseen = await t.throwsAsync(planFor(path, false), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    t.like(unseen, { rule: { rule: 'unseen-file' } });
    t.like(await planFor(path, false, { mappedRam: 'off' }), {
      mappedRam: { value: false },
      target: { path },
    });
    t.like(await planFor(`file:${path},offset=4096`, false, { mappedRam: 'off' }), { target: { path } });
    const error = await t.throwsAsync(planFor(path, true, { mappedRam: 'off' }), {
      code: 'ERR_MAPPED_RAM_IO',
    });
    t.like(error, { path, cause: { code: 'ENOENT' } });
  }
});

test('any other failure of the system is told: the name means something here', async (t) => {
  await using dir = await temporaryDirectory();
  await symlink('loop', dir.file('loop'));
  await assertTold(t, dir.file('loop'), 'ELOOP');
  await writeFile(dir.file('file'), '');
  await assertTold(t, dir.file('file/snapshot'), 'ENOTDIR');
  await assertTold(t, dir.file('x'.repeat(300)), 'ENAMETOOLONG');
});

test('a socket in the place of the file is told', async (t) => {
  await using dir = await temporaryDirectory();
  const server = createServer().listen(dir.file('socket'));
  await once(server, 'listening');
  await assertTold(t, dir.file('socket'), 'ENXIO');
  server.close();
});

test('a file that fails when it is read is told', async (t) => {
  // The speed of the loopback device is a file of 4096 bytes, of which none can be read.
  await assertTold(t, '/sys/class/net/lo/speed', 'EINVAL');
});

test('what is no regular file, or no snapshot, is told as such', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('text'), 'no snapshot at all, but long enough to be one');
  for (const isLocal of [false, true]) {
    await t.throwsAsync(planFor(dir.path, isLocal), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
    await t.throwsAsync(planFor(dir.file('text'), isLocal), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
  }
});

test.serial('a file that this user may not read is told', async (t) => {
  await using dir = await temporaryDirectory();
  await mkdir(dir.file('closed'), { mode: 0o000 });
  // No file mode keeps root out.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await assertTold(t, dir.file('closed/snapshot'), 'EACCES');
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(dir.file('closed'), 0o700);
  }
});
