import { once } from 'node:events';
import { createServer } from 'node:net';

import test from 'ava';
import { assert, integer, ipV6, property, string } from 'fast-check';

import { parseQmpAddress } from '../../ts/qmp/address.ts';
import { QmpClient } from '../../ts/qmp/client.ts';

for (const [text, address] of [
  ['/run/qmp.sock', { path: '/run/qmp.sock' }],
  ['unix:/run/qmp.sock', { path: '/run/qmp.sock' }],
  ['unix:host:4444', { path: 'host:4444' }],
  ['./host:4444', { path: './host:4444' }],
  ['qmp.sock', { path: 'qmp.sock' }],
  ['dir/x:1', { path: 'dir/x:1' }],
  ['tcp:host:4444', { host: 'host', port: 4444 }],
  ['host:4444', { host: 'host', port: 4444 }],
  [':4444', { host: 'localhost', port: 4444 }],
  ['tcp::4444', { host: 'localhost', port: 4444 }],
  ['[::1]:4444', { host: '::1', port: 4444 }],
  ['tcp:[fe80::1%eth0]:1', { host: 'fe80::1%eth0', port: 1 }],
] as const) {
  test(`${text} is an address`, (t) => {
    t.deepEqual(parseQmpAddress(text), address);
  });
}

for (const text of [
  '',
  'unix:',
  'tcp:',
  'tcp:host',
  'tcp:host:0',
  'host:65536',
  'tcp:/x:1',
  'a\0b',
  'tcp:h:99999',
]) {
  test(`${JSON.stringify(text)} is none`, async (t) => {
    t.throws(() => parseQmpAddress(text), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
    await t.throwsAsync(QmpClient.connect(text), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  });
}

test('any path is reached by unix:, any host and port by tcp:', (t) => {
  assert(
    property(
      string({ minLength: 1 }).filter((path) => !path.includes('\0')),
      (path) => {
        t.deepEqual(parseQmpAddress(`unix:${path}`), { path });
      },
    ),
  );
  assert(
    property(ipV6(), integer({ min: 1, max: 65_535 }), (host, port) => {
      t.deepEqual(parseQmpAddress(`tcp:[${host}]:${port}`), { host, port });
    }),
  );
});

test('a client that is refused says where', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  const text = `tcp:127.0.0.1:${port}`;
  const error = await t.throwsAsync(QmpClient.connect(text), { code: 'ERR_MAPPED_RAM_IO' });
  t.like(error, { path: text, cause: { code: 'ECONNREFUSED' } });
});
