import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';

import { migrateArguments } from '../../ts/qemu/migrate-arguments.ts';
import { planTarget } from '../../ts/negotiate/plan-target.ts';

test('a path, a URI, a URL and an address say the same', (t) => {
  const expected = {
    address: { transport: 'file', filename: '/a b', offset: 0 },
    path: '/a b',
    fdset: undefined,
    offset: 0,
  } as const;
  for (const target of ['/a b', 'file:/a b', pathToFileURL('/a b'), expected.address] as const) {
    t.deepEqual(planTarget(target), expected);
  }
});

test('a relative path is one of this process', (t) => {
  t.is(planTarget('x').path, resolve('x'));
  t.like(planTarget('file:x,offset=1k'), {
    address: { filename: resolve('x'), offset: 1024 },
    offset: 1024,
  });
});

test('an fd set is no path', (t) => {
  t.like(planTarget('file:/dev/fdset/12,offset=4096'), { path: undefined, fdset: 12, offset: 4096 });
});

test('what is no address never becomes one', (t) => {
  for (const bad of ['rdma:', 'rdma:x', 'tcp:x', 'unix:', 'fd:', 'file:', 'file:x,offset=', 'x\0y', '']) {
    t.throws(() => planTarget(bad), { code: 'ERR_MAPPED_RAM_INVALID_URI' }, bad);
  }
  t.throws(() => planTarget('defer'), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  t.throws(() => planTarget({ transport: 'file', filename: '', offset: 0 }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  });
  t.is(planTarget({ transport: 'file', filename: '/x,offset=y', offset: 0 }).path, '/x,offset=y');
  t.throws(() => planTarget({ transport: 'file', filename: '/x', offset: -1 }), {
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  });
  t.throws(() => planTarget('file:/x,offset=9007199254740993'), { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
});

test('QEMU gets a URI where there is one, and channels where there is none', (t) => {
  t.deepEqual(migrateArguments({ transport: 'file', filename: '/x', offset: 4096 }), {
    uri: 'file:/x,offset=4096',
  });
  const address = { transport: 'file', filename: '/x,offset=1', offset: 0 } as const;
  t.deepEqual(migrateArguments(address), { channels: [{ 'channel-type': 'main', addr: address }] });
  t.deepEqual(migrateArguments('exec:cat'), { uri: 'exec:cat' });
  t.throws(() => migrateArguments('rdma:'), { code: 'ERR_MAPPED_RAM_INVALID_URI' });
  t.throws(() => migrateArguments({ transport: 'file', filename: '/x,offset=1', offset: 2n ** 60n }), {
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  });
});
