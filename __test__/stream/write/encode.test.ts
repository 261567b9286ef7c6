import { bitmapBytes } from '../../../ts/stream/page-area.ts';
import test from 'ava';

import { MappedRamError } from '../../../ts/errors.ts';
import { encodeCommand } from '../../../ts/stream/command.ts';
import { encodeConfiguration } from '../../../ts/stream/configuration.ts';
import { encodePageHeader, encodeZeroPage } from '../../../ts/stream/write/encode-pages.ts';
import {
  encodeEmptyRamSection,
  encodeMappedRamStart,
  encodePlainRamStart,
} from '../../../ts/stream/write/encode-ram.ts';
import { layoutMappedRam } from '../../../ts/stream/write/layout.ts';
import { ascii, compact, hex } from '../hex.ts';

const MIB = 1024 * 1024;

const q35 = { machine: 'pc-q35-10.0', capabilities: ['mapped-ram'] };

test('the beginning of a mapped-ram file is the one QEMU 10.0.2 wrote', (t) => {
  // The test vector of docs/format.md §1.2. The sum of the lengths is that of the real guest's six blocks.
  const blocks = [
    { id: 'pc.ram', length: 0x4000000 },
    { id: 'rest', length: 0x82000 },
  ];
  const { segments, layout } = encodeMappedRamStart({ configuration: q35, blocks });
  const vector = compact(`
    5145564d 00000003 07 0000000b ${ascii('pc-q35-10.0')}
    05 1a ${ascii('configuration/capabilities')} 00000001 00000001 0a ${ascii('mapped-ram')}
    01 00000001 03 ${ascii('ram')} 00000000 00000004 0000000004082004
    06 ${ascii('pc.ram')} 0000000004000000
    00000001 0000000000001000 000000000000008b 0000000000100000`);
  t.is(segments[0]?.offset, 0);
  t.is(hex(segments[0]?.bytes ?? new Uint8Array()), vector);
  t.is(layout.blocks[0]?.area.bitmapOffset, 0x8b);
  t.is(layout.blocks[0] && bitmapBytes(layout.blocks[0].area), 2048);
  t.is(segments[1]?.offset, 0x4100000);
  t.is(layout.endOffset, 0x4200000 + 0x82000);
  t.deepEqual(segments.at(-1), {
    offset: layout.endOffset,
    bytes: Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 1]),
  });
});

test('page areas are aligned to the file, not to the base of the stream', (t) => {
  const blocks = [{ id: 'pc.ram', length: 64 * MIB }];
  const { segments, layout } = encodeMappedRamStart({ configuration: q35, blocks, base: 12345 });
  t.is(segments[0]?.offset, 12345);
  t.is(layout.blocks[0]?.area.bitmapOffset, 12345 + 0x8b);
  t.is(layout.blocks[0]?.area.pagesOffset, MIB);
});

test('a bitmap is whole 64-bit words', (t) => {
  const sizes = [1, 64, 65, 128, 129].map((pages) => {
    const { blocks } = layoutMappedRam({ headerBytes: 100, blocks: [{ id: 'b', length: pages * 4096 }] });
    return blocks[0] && bitmapBytes(blocks[0].area);
  });
  t.deepEqual(sizes, [8, 8, 16, 16, 24]);
});

test('with x-ignore-shared every entry carries an address, and a skipped block only a header', (t) => {
  const configuration = { machine: 'q35', capabilities: ['x-ignore-shared', 'mapped-ram'] };
  const blocks = [
    { id: 'a', length: 4096, address: 0x1234, skipped: true },
    { id: 'b', length: 4096 },
  ];
  const { layout, segments } = encodeMappedRamStart({ configuration, blocks });
  const [first, second] = layout.blocks;
  t.is(second?.entryOffset, (first?.headerOffset ?? 0) + 28);
  t.is(first?.area.pagesOffset, 0);
  t.is(second?.area.pagesOffset, MIB);
  const bytes = segments[0]?.bytes.subarray(first?.entryOffset, second?.entryOffset) ?? new Uint8Array();
  const skipped = compact(`
    01 ${ascii('a')} 0000000000001000 0000000000001234
    00000001 0000000000001000 0000000000000000 0000000000000000`);
  t.is(hex(bytes), skipped);
});

test('the plain form lists blocks without headers', (t) => {
  const configuration = { machine: 'pc', capabilities: [] };
  const bytes = encodePlainRamStart({ configuration, blocks: [{ id: 'm0', length: 0x2000 }], sectionId: 7 });
  const expected = compact(`
    5145564d 00000003 07 00000002 ${ascii('pc')}
    01 00000007 03 ${ascii('ram')} 00000000 00000004 0000000000002004
    02 ${ascii('m0')} 0000000000002000
    0000000000000010 7e 00000007`);
  t.is(hex(bytes), expected);
});

test('page records name their block unless it is the one before', (t) => {
  t.is(hex(encodePageHeader('m0', 0x3000)), compact(`0000000000003008 02 ${ascii('m0')}`));
  t.is(hex(encodePageHeader('m0', 0x3000, { sameBlock: true })), '0000000000003028');
  t.is(hex(encodeZeroPage('m0', 0x3000)), compact(`0000000000003002 02 ${ascii('m0')} 00`));
  t.is(hex(encodeZeroPage('m0', 0x3000, { sameBlock: true })), '000000000000302200');
});

test('an empty RAM section is EOS and a footer', (t) => {
  t.is(hex(encodeEmptyRamSection('part')), compact('02 00000001 0000000000000010 7e 00000001'));
  t.is(hex(encodeEmptyRamSection('end', 9)), compact('03 00000009 0000000000000010 7e 00000009'));
});

test('subsections of CONFIGURATION are in the order of QEMU', (t) => {
  const uuid = Uint8Array.from({ length: 16 }, (_, index) => index);
  const bytes = encodeConfiguration({ uuid, capabilities: ['mapped-ram'], targetPageBits: 12, machine: '' });
  const expected = compact(`
    07 00000000
    05 1e ${ascii('configuration/target-page-bits')} 00000001 0000000c
    05 1a ${ascii('configuration/capabilities')} 00000001 00000001 0a ${ascii('mapped-ram')}
    05 12 ${ascii('configuration/uuid')} 00000001 ${hex(uuid)}`);
  t.is(hex(bytes), expected);
});

test('a command has a code and a length', (t) => {
  t.is(hex(encodeCommand(11)), compact('08 000b 0000'));
  t.is(hex(encodeCommand(2, Uint8Array.of(0, 0, 0, 1))), compact('08 0002 0004 00000001'));
});

const refusals: readonly (readonly [string, () => unknown, string])[] = [
  [
    'an empty block id',
    () => encodePlainRamStart({ configuration: q35, blocks: [{ id: '', length: 4096 }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'a block id of 256 bytes',
    () => encodePlainRamStart({ configuration: q35, blocks: [{ id: 'x'.repeat(256), length: 4096 }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'a block id with half a surrogate pair',
    () => encodePlainRamStart({ configuration: q35, blocks: [{ id: '\ud800', length: 4096 }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'a block of part of a page',
    () => encodePlainRamStart({ configuration: q35, blocks: [{ id: 'a', length: 4097 }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'an empty block',
    () => encodePlainRamStart({ configuration: q35, blocks: [{ id: 'a', length: 0 }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'two blocks of one id',
    () =>
      encodeMappedRamStart({
        configuration: q35,
        blocks: [
          { id: 'a', length: 4096 },
          { id: 'a', length: 4096 },
        ],
      }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'a skipped block without x-ignore-shared',
    () => encodeMappedRamStart({ configuration: q35, blocks: [{ id: 'a', length: 4096, skipped: true }] }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  [
    'an alignment below a page',
    () => layoutMappedRam({ headerBytes: 1, blocks: [], alignment: 512 }),
    'ERR_MAPPED_RAM_ALIGNMENT',
  ],
  [
    'an alignment that is not a power of two',
    () => layoutMappedRam({ headerBytes: 1, blocks: [], alignment: 12288 }),
    'ERR_MAPPED_RAM_ALIGNMENT',
  ],
  [
    'blocks beyond 2^53',
    () => layoutMappedRam({ headerBytes: 1, blocks: [{ id: 'a', length: 2 ** 53 - 4096 }] }),
    'ERR_MAPPED_RAM_OUT_OF_RANGE',
  ],
  ['a page inside a page', () => encodePageHeader('a', 100), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
  ['a ping without its number', () => encodeCommand(2), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
  ['an unknown command', () => encodeCommand(12), 'ERR_MAPPED_RAM_INVALID_ARGUMENT'],
  [
    'a uuid of 15 bytes',
    () => encodeConfiguration({ machine: 'q35', capabilities: [], uuid: new Uint8Array(15) }),
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
  ],
  ['a section id beyond 32 bits', () => encodeEmptyRamSection('end', 2 ** 32), 'ERR_MAPPED_RAM_OUT_OF_RANGE'],
];

for (const [what, encode, code] of refusals) {
  test(`nothing encodes ${what}`, (t) => {
    t.throws(encode, { instanceOf: MappedRamError, code });
  });
}
