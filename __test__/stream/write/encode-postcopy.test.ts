import test from 'ava';

import { encodePostcopyOpening } from '../../../ts/stream/write/encode-postcopy.ts';

function hex(text: string): string {
  return text.replaceAll(/\s+/g, '');
}

function hexOf(text: string): string {
  return Buffer.from(text).toString('hex');
}

const CONFIGURATION = { machine: 'pc-q35-10.0', capabilities: ['mapped-ram'] };
const EMPTY = new Uint8Array();

test('the opening is, byte for byte, the one that QEMU took in the trials', (t) => {
  const bytes = encodePostcopyOpening({
    configuration: CONFIGURATION,
    blocks: [
      { id: 'm', length: 0x2000_0000, hostPageSize: 4096 },
      { id: '/rom@etc/acpi/rsdp', length: 0x1000, hostPageSize: 4096 },
    ],
    devices: Uint8Array.of(4, 5, 6),
  });
  const expected = hex(`
    5145564d 00000003 07 0000000b ${hexOf('pc-q35-10.0')} 08 0001 0000 08 0002 0004 00000001
    08 0003 0010 0000000000001000 0000000000001000
    01 00000001 03 ${hexOf('ram')} 00000000 00000004 0000000020001004
    01 ${hexOf('m')} 0000000020000000 12 ${hexOf('/rom@etc/acpi/rsdp')} 0000000000001000
    0000000000000010 7e 00000001
    08 0006 0025 00 12 ${hexOf('/rom@etc/acpi/rsdp')} 00 0000000000000000 0000000000001000
    08 0007 0004 00000016
    08 0004 0000 040506 08 0002 0004 00000003 08 0005 0000`);
  t.is(Buffer.from(bytes).toString('hex'), expected);
});

test('blocks of huge pages name their page size, and the advice has all sizes', (t) => {
  const bytes = encodePostcopyOpening({
    configuration: CONFIGURATION,
    blocks: [
      { id: 'm0', length: 2 ** 30, hostPageSize: 2 ** 30 },
      { id: 'm1', length: 2 ** 21, hostPageSize: 2 ** 21 },
      { id: 'm2', length: 2 ** 21, hostPageSize: 2 ** 21 },
      { id: 'rom', length: 4096, hostPageSize: 4096 },
    ],
    devices: EMPTY,
  });
  const text = Buffer.from(bytes).toString('hex');
  t.true(text.includes(hex('08 0003 0010 0000000040201000 0000000000001000')));
  t.true(text.includes(hex(`02 ${hexOf('m1')} 0000000000200000 0000000000200000`)));
  t.true(text.includes(hex(`03 ${hexOf('rom')} 0000000000001000 0000000000000010 7e 00000001 08 0006`)));
});

test('an opening without blocks, or with a block twice, is refused', (t) => {
  const block = { id: 'm', length: 4096, hostPageSize: 4096 };
  const make = (blocks: readonly (typeof block)[]) => (): unknown =>
    encodePostcopyOpening({ configuration: CONFIGURATION, blocks, devices: EMPTY });
  t.throws(make([]), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  t.throws(make([block, block]), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});
