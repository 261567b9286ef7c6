import test, { type ExecutionContext } from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import { parseMigrationUri } from '../../ts/uri/index.ts';
import { type Refused, REFUSED_BY_US, TRANSPORTS } from './uri-cases.ts';

for (const [name, accepted, refused] of TRANSPORTS) {
  test(`QEMU's reading of ${name} is ours`, (t) => {
    for (const [uri, address] of accepted) t.deepEqual(parseMigrationUri(uri), address, uri.slice(0, 60));
    assertRefused(t, refused);
  });
}

test('URIs that QEMU would read as something no string holds are refused', (t) => {
  assertRefused(t, REFUSED_BY_US);
});

test('an error says where, what was expected and what was found', (t) => {
  const message = (uri: string): string =>
    t.throws(() => parseMigrationUri(uri), { instanceOf: MappedRamError }).message;
  t.is(
    message('tcp:h:1,ipv4=yes'),
    'tcp:h:1,ipv4=yes, offset 12 (0xc): bad option ipv4: ' +
      'expected "=on", "=off" or nothing, then one comma or the end, found "=yes"',
  );
  t.is(message('unix:'), 'unix:, offset 5 (0x5): bad address: expected a path, found the end of the text');
  t.regex(message('nfs:x'), /unknown migration protocol: expected file:, tcp:, .* or defer, found "nfs:x"$/);
  t.true(message(`file:x,offset=${'z'.repeat(1000)}`).endsWith(`found "${'z'.repeat(40)}"…`));
});

function assertRefused(t: ExecutionContext, refused: Refused): void {
  for (const [uri, position] of refused) {
    const error = t.throws(() => parseMigrationUri(uri), { instanceOf: MappedRamError }, uri.slice(0, 60));
    t.is(error.code, 'ERR_MAPPED_RAM_INVALID_URI');
    t.is(error.offset, position, uri.slice(0, 60));
    t.is(error.path, uri);
  }
}
