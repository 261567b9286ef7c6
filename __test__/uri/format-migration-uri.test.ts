import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import {
  formatMigrationUri,
  type InetSocketAddress,
  type MigrationAddress,
  parseMigrationUri,
} from '../../ts/uri/index.ts';
import { inetText, sizeText } from './arbitraries.ts';

const URIS: readonly string[] = [
  'file:/x',
  'file:',
  'file:a b,c',
  'file:/dev/fdset/3,offset=4096',
  'file:x,offset=18446744073709551615',
  'tcp:127.0.0.1:4444',
  'tcp::4444',
  'tcp:[::1]:4444,to=4450,ipv4=off,ipv6=on,keep-alive=on,mptcp=off',
  'tcp:[[x]:1',
  'unix:/run/m.sock',
  'vsock:3:1234',
  'fd:migration',
  'exec:cat > /dev/null',
  'rdma:192.0.2.1:4444',
  'rdma:[fe80::1]:1,ipv6=on',
  'defer',
];

const INEXPRESSIBLE: ReadonlyArray<readonly [address: MigrationAddress, reason: RegExp]> = [
  [{ transport: 'file', filename: 'a,offset=1', offset: 0 }, /the file name contains ",offset="/],
  [{ transport: 'file', filename: 'a,offset=', offset: 5 }, /the file name contains ",offset="/],
  [{ transport: 'exec', args: [] }, /always runs \/bin\/sh -c with one command line/],
  [{ transport: 'exec', args: ['/bin/true'] }, /always runs \/bin\/sh -c/],
  [{ transport: 'exec', args: ['/bin/sh', '-c', 'a', 'b'] }, /always runs \/bin\/sh -c/],
  [{ transport: 'socket', type: 'inet', host: 'h', port: '1', numeric: true }, /no option numeric/],
  [{ transport: 'socket', type: 'inet', host: 'h', port: '1,ipv4' }, /the port contains a comma/],
  [{ transport: 'socket', type: 'inet', host: 'h', port: '1'.repeat(33) }, /cuts the port after 32 bytes/],
  [{ transport: 'socket', type: 'inet', host: 'h', port: '' }, /expected a port/],
  [{ transport: 'socket', type: 'inet', host: 'h'.repeat(65), port: '1' }, /a host of at most 64 bytes/],
  [{ transport: 'socket', type: 'inet', host: ':a]', port: '1' }, /expected ":" and a port, found "\]:1"/],
  [{ transport: 'rdma', host: 'h', port: '1,x' }, /the port contains a comma/],
  [{ transport: 'socket', type: 'unix', path: '' }, /expected a path/],
  [{ transport: 'socket', type: 'unix', path: 'x', abstract: false }, /a unix: URI has no options/],
  [{ transport: 'socket', type: 'unix', path: 'x', tight: true }, /a unix: URI has no options/],
  [{ transport: 'socket', type: 'vsock', cid: '1:2', port: '3' }, /the CID contains a colon/],
  [{ transport: 'socket', type: 'vsock', cid: '1', port: '2,3' }, /vsock has no options/],
  [{ transport: 'socket', type: 'fd', str: '' }, /a descriptor's name/],
];

test('a URI in its shortest form comes back as it was', (t) => {
  for (const uri of URIS) t.is(formatMigrationUri(parseMigrationUri(uri)), uri);
});

test('offsets are written in decimal, and 0 not at all', (t) => {
  t.is(formatMigrationUri({ transport: 'file', filename: 'x', offset: 0 }), 'file:x');
  t.is(formatMigrationUri({ transport: 'file', filename: 'x', offset: 0n }), 'file:x');
  t.is(formatMigrationUri({ transport: 'file', filename: 'x', offset: 4096n }), 'file:x,offset=4096');
  t.is(formatMigrationUri(parseMigrationUri('file:x,offset=1.5k')), 'file:x,offset=1536');
});

test('an address that no URI says is an error with the reason', (t) => {
  for (const [address, reason] of INEXPRESSIBLE) {
    const error = t.throws(() => formatMigrationUri(address), { instanceOf: MappedRamError });
    t.is(error.code, 'ERR_MAPPED_RAM_INVALID_URI', JSON.stringify(address));
    t.regex(error.message, reason);
  }
});

test('what is no address is not formatted', (t) => {
  const refuse = (address: unknown, code: string): void => {
    // @ts-expect-error deliberately not an address
    t.throws(() => formatMigrationUri(address), { instanceOf: MappedRamError, code });
  };
  refuse({ transport: 'file', filename: 'x' }, 'ERR_MAPPED_RAM_INVALID_ARGUMENT');
  refuse({ transport: 'file', filename: 'x\0', offset: 0 }, 'ERR_MAPPED_RAM_INVALID_ARGUMENT');
  refuse({ transport: 'file', filename: 'x', offset: 2 ** 53 }, 'ERR_MAPPED_RAM_OUT_OF_RANGE');
  refuse({ transport: 'file', filename: 'x', offset: 2n ** 64n }, 'ERR_MAPPED_RAM_OUT_OF_RANGE');
  refuse({ transport: 'file', filename: 'x', offset: -1n }, 'ERR_MAPPED_RAM_OUT_OF_RANGE');
});

const text = fc.string({
  unit: fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    fc.constantFrom(':', ',', '[', ']', '=', ' ', 'é', '😀', ',offset=', ',ipv4'),
  ),
  maxLength: 40,
});
const flag = fc.boolean();
function inet<T extends object>(tags: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<
  T & InetSocketAddress
> {
  const options = { to: fc.nat(65535), ipv4: flag, ipv6: flag, 'keep-alive': flag, mptcp: flag };
  return fc
    .tuple(fc.record(tags), fc.record({ host: text, port: text }), fc.record(options, { requiredKeys: [] }))
    .map(([tag, address, chosen]) => Object.assign(tag, address, chosen));
}
const offset = fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), fc.constant(0));
const anyAddress: fc.Arbitrary<MigrationAddress> = fc.oneof(
  fc.record({ transport: fc.constant('file' as const), filename: text, offset }),
  inet({ transport: fc.constant('socket' as const), type: fc.constant('inet' as const) }),
  inet({ transport: fc.constant('rdma' as const) }),
  fc.record({ transport: fc.constant('socket' as const), type: fc.constant('unix' as const), path: text }),
  fc.record({
    transport: fc.constant('socket' as const),
    type: fc.constant('vsock' as const),
    cid: text,
    port: text,
  }),
  fc.record({ transport: fc.constant('socket' as const), type: fc.constant('fd' as const), str: text }),
  text.map((command) => ({ transport: 'exec' as const, args: ['/bin/sh', '-c', command] })),
  fc.constant({ transport: 'defer' as const }),
);

test('parsing what was formatted gives the address back, whenever there is a URI for it', (t) => {
  let formatted = 0;
  fc.assert(
    fc.property(anyAddress, (address) => {
      const uri = unlessInvalid(() => formatMigrationUri(address));
      if (uri === undefined) return;
      formatted += 1;
      t.deepEqual(parseMigrationUri(uri), address);
    }),
    { numRuns: 3000 },
  );
  t.true(formatted > 500, `only ${formatted} addresses had a URI`);
});

test('whatever parses can be formatted, and means the same', (t) => {
  let parsed = 0;
  const uris = fc.oneof(
    inetText.map((rest) => `tcp:${rest}`),
    inetText.map((rest) => `rdma:${rest}`),
    inetText.map((rest) => `vsock:${rest}`),
    sizeText.map((size) => `file:x,offset=${size}`),
    text.map((rest) => `unix:${rest}`),
  );
  fc.assert(
    fc.property(uris, (uri) => {
      const address = unlessInvalid(() => parseMigrationUri(uri));
      if (address === undefined) return;
      parsed += 1;
      t.deepEqual(parseMigrationUri(formatMigrationUri(address)), address, uri);
    }),
    { numRuns: 3000 },
  );
  t.true(parsed > 500, `only ${parsed} URIs could be parsed`);
});

/** The result of `work`; undefined when the URI is invalid or cannot be formatted. Every other error passes. */
function unlessInvalid<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    const expected = ['ERR_MAPPED_RAM_INVALID_URI', 'ERR_MAPPED_RAM_INVALID_ARGUMENT'];
    if (error instanceof MappedRamError && expected.includes(error.code)) return undefined;
    throw error;
  }
}
