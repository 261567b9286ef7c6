import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import {
  fromMigrationChannels,
  type MigrationAddress,
  type MigrationChannel,
  parseMigrationUri,
  toMigrationChannels,
} from '../../ts/uri/index.ts';

const URIS: readonly string[] = [
  'file:/x,offset=4k',
  'file:x',
  'tcp:[::1]:4444,to=4450,ipv4=off,ipv6=on,keep-alive,mptcp=off',
  'unix:/run/m.sock',
  'vsock:3:1234',
  'fd:migration',
  'exec:true',
  'rdma:192.0.2.1:4444',
];

const FILE = { transport: 'file', filename: '/x', offset: 0 };
const INET = { transport: 'socket', type: 'inet', host: 'h', port: '1' };
const main = (addr: unknown): unknown => [{ 'channel-type': 'main', addr }];

/** Channels that are refused with ERR_MAPPED_RAM_INVALID_ARGUMENT. The second column is the error's path. */
const REFUSED: ReadonlyArray<readonly [channels: unknown, path: string]> = [
  [undefined, 'channels'],
  [{}, 'channels'],
  [[], 'channels'],
  [
    [
      { 'channel-type': 'main', addr: FILE },
      { 'channel-type': 'cpr', addr: FILE },
    ],
    'channels',
  ],
  [[null], 'channels[0]'],
  [[[]], 'channels[0]'],
  [[{ addr: FILE }], 'channels[0].channel-type'],
  [[{ 'channel-type': 'cpr', addr: FILE }], 'channels[0].channel-type'],
  [[{ 'channel-type': 'main', addr: FILE, x: 1 }], 'channels[0].x'],
  [[{ 'channel-type': 'main' }], 'channels[0].addr'],
  [main(null), 'channels[0].addr'],
  [main('file:/x'), 'channels[0].addr'],
  [main({}), 'channels[0].addr.transport'],
  [main({ transport: 'defer' }), 'channels[0].addr.transport'],
  [main({ transport: 'toString' }), 'channels[0].addr.transport'],
  [main({ transport: 'socket' }), 'channels[0].addr.type'],
  [main({ transport: 'socket', type: 'tcp' }), 'channels[0].addr.type'],
  [main({ ...FILE, type: 'inet' }), 'channels[0].addr.type'],
  [main({ transport: 'file', offset: 0 }), 'channels[0].addr.filename'],
  [main({ ...FILE, filename: 5 }), 'channels[0].addr.filename'],
  [main({ ...FILE, filename: 'a\0b' }), 'channels[0].addr.filename'],
  [main({ ...FILE, filename: 'a\udc00b' }), 'channels[0].addr.filename'],
  [main({ transport: 'file', filename: '/x' }), 'channels[0].addr.offset'],
  [main({ ...FILE, offset: '0' }), 'channels[0].addr.offset'],
  [main({ ...FILE, offset: 0.5 }), 'channels[0].addr.offset'],
  [main({ ...FILE, offset: Number.NaN }), 'channels[0].addr.offset'],
  [main({ ...FILE, offset: null }), 'channels[0].addr.offset'],
  [main({ ...FILE, z: 1 }), 'channels[0].addr.z'],
  [main({ ...FILE, toString: 1 }), 'channels[0].addr.toString'],
  [main({ ...INET, port: 1 }), 'channels[0].addr.port'],
  [main({ ...INET, to: 65536 }), 'channels[0].addr.to'],
  [main({ ...INET, to: -1 }), 'channels[0].addr.to'],
  [main({ ...INET, to: '1' }), 'channels[0].addr.to'],
  [main({ ...INET, ipv4: 'on' }), 'channels[0].addr.ipv4'],
  [main({ ...INET, 'keep-alive': null }), 'channels[0].addr.keep-alive'],
  [main({ ...INET, 'keep-alive-count': 3 }), 'channels[0].addr.keep-alive-count'],
  [main({ transport: 'socket', type: 'unix' }), 'channels[0].addr.path'],
  [main({ transport: 'socket', type: 'vsock', cid: 3, port: '1' }), 'channels[0].addr.cid'],
  [main({ transport: 'socket', type: 'fd', str: 5 }), 'channels[0].addr.str'],
  [main({ transport: 'exec', args: 'true' }), 'channels[0].addr.args'],
  [main({ transport: 'exec', args: ['true', 1] }), 'channels[0].addr.args'],
  [main({ transport: 'rdma', port: '1' }), 'channels[0].addr.host'],
];

const OUT_OF_RANGE: readonly (number | bigint)[] = [-1, -1n, 2 ** 53, 2n ** 53n, 1e300, 2n ** 64n];

test('channels carry the address as it is, and survive JSON', (t) => {
  for (const uri of URIS) {
    const address = parseMigrationUri(uri);
    const channels = toMigrationChannels(address);
    t.like(channels, { length: 1, 0: { 'channel-type': 'main' } }, uri);
    const addr: MigrationAddress = channels[0].addr;
    t.deepEqual(addr, address, uri);
    t.deepEqual(fromMigrationChannels(JSON.parse(JSON.stringify(channels))), address, uri);
  }
});

test('names that no URI can carry go through channels', (t) => {
  const address: MigrationAddress = { transport: 'file', filename: 'a,offset=1', offset: 4096 };
  t.deepEqual(fromMigrationChannels(toMigrationChannels(address)), address);
  const abstract: MigrationAddress = {
    transport: 'socket',
    type: 'unix',
    path: 'x',
    abstract: true,
    tight: false,
  };
  t.deepEqual(fromMigrationChannels(toMigrationChannels(abstract)), abstract);
  const command: MigrationAddress = { transport: 'exec', args: ['/bin/true'] };
  t.deepEqual(fromMigrationChannels(toMigrationChannels(command)), command);
});

test('members that are undefined are left out, and small bigints become numbers', (t) => {
  const [channel] = toMigrationChannels({
    transport: 'socket',
    type: 'inet',
    host: 'h',
    port: '1',
    ipv4: undefined,
    numeric: true,
  });
  t.deepEqual(Object.keys(channel.addr), ['transport', 'type', 'host', 'port', 'numeric']);
  t.deepEqual(toMigrationChannels({ transport: 'file', filename: 'x', offset: 7n })[0].addr, {
    transport: 'file',
    filename: 'x',
    offset: 7,
  });
});

test('channels of the wrong shape are refused by the name of the member', (t) => {
  for (const [channels, path] of REFUSED) {
    const error = t.throws(
      () => fromMigrationChannels(untyped(channels)),
      { instanceOf: MappedRamError },
      path,
    );
    t.is(error.code, 'ERR_MAPPED_RAM_INVALID_ARGUMENT');
    t.is(error.path, path);
  }
});

test('offsets that QEMU or JSON would not carry exactly are out of range', (t) => {
  for (const offset of OUT_OF_RANGE) {
    const code = 'ERR_MAPPED_RAM_OUT_OF_RANGE';
    const channels = main({ ...FILE, offset });
    t.throws(
      () => fromMigrationChannels(untyped(channels)),
      { instanceOf: MappedRamError, code },
      String(offset),
    );
    t.throws(
      () => toMigrationChannels({ transport: 'file', filename: 'x', offset }),
      { code },
      String(offset),
    );
  }
});

test('defer is for -incoming only and has no channels', (t) => {
  const error = t.throws(() => toMigrationChannels({ transport: 'defer' }), { instanceOf: MappedRamError });
  t.is(error.code, 'ERR_MAPPED_RAM_INVALID_ARGUMENT');
  t.regex(error.message, /defer is for -incoming only/);
});

/** A value as a JavaScript caller may pass it. */
function untyped(value: unknown): readonly MigrationChannel[] {
  // @ts-expect-error the point of these tests
  return value;
}
