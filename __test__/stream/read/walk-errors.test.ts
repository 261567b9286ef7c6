import test from 'ava';

import { walkStream } from '../../../ts/stream/index.ts';
import { encodeFooter, encodeSectionHeader } from '../../../ts/stream/section.ts';
import { encodeEmptyRamSection } from '../../../ts/stream/write/encode-ram.ts';
import {
  assertRefused,
  beginning,
  failure,
  model,
  RAM,
  withLast,
  withPlainStart,
  type RefusedStream,
} from '../broken-streams.ts';
import { buildStream, StreamBuilder } from '../../support/stream-builder.ts';
import { collect, StrictReader } from '../strict-reader.ts';

function subsection(name: string, ...body: readonly number[]): Uint8Array {
  const text = new TextEncoder().encode(name);
  return Uint8Array.of(5, text.length, ...text, 0, 0, 0, 1, ...body);
}

const cases: readonly RefusedStream[] = [
  {
    what: 'a wrong magic',
    bytes: () => Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 3),
    code: 'ERR_MAPPED_RAM_BAD_MAGIC',
    message: /not a QEMU migration stream/,
    offset: 0,
    found: '0x7f454c46',
  },
  {
    what: 'the obsolete version 2',
    bytes: () => Uint8Array.of(0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 2),
    code: 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
    message: /version of the migration stream/,
    offset: 4,
    found: 2,
  },
  {
    what: 'a stream without CONFIGURATION',
    bytes: () => Uint8Array.of(0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3, 1),
    message: /CONFIGURATION/,
    offset: 8,
    found: '0x1',
  },
  {
    what: 'an unknown configuration subsection',
    bytes: () => beginning().raw(subsection('configuration/moon-phase', 1)).bytes,
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /configuration\/moon-phase/,
  },
  {
    what: 'a configuration subsection that comes twice',
    bytes: () => {
      const bits = subsection('configuration/target-page-bits', 0, 0, 0, 12);
      return beginning().raw(bits).raw(bits).bytes;
    },
    message: /comes twice/,
  },
  {
    what: 'target page bits that no architecture has',
    bytes: () => beginning().raw(subsection('configuration/target-page-bits', 0, 0, 0, 53)).bytes,
    message: /target page bits/,
    found: 53,
  },
  {
    what: 'an unknown capability',
    bytes: () =>
      beginning().raw(subsection('configuration/capabilities', 0, 0, 0, 1, 4, 0x77, 0x61, 0x72, 0x70)).bytes,
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /unknown capability warp/,
  },
  {
    what: 'a capability that comes twice',
    bytes: () => {
      const [xbzrle, length] = [new TextEncoder().encode('xbzrle'), 6];
      const list = [0, 0, 0, 2, length, ...xbzrle, length, ...xbzrle];
      return beginning().raw(subsection('configuration/capabilities', ...list)).bytes;
    },
    message: /capability xbzrle comes twice/,
  },
  {
    what: 'version 2 of a configuration subsection',
    bytes: () => {
      const bits = subsection('configuration/target-page-bits', 0, 0, 0, 12);
      bits[bits.length - 5] = 2;
      return beginning().raw(bits).bytes;
    },
    code: 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
    message: /version of subsection configuration\/target-page-bits/,
    found: 2,
  },
  {
    what: 'a machine type of 1025 bytes',
    bytes: () => {
      const { bytes } = new StreamBuilder().beginning({ machine: 'm'.repeat(1024), capabilities: [] });
      new DataView(bytes.buffer).setUint32(9, 1025);
      return new Uint8Array(Buffer.concat([bytes, Uint8Array.of(0x6d, 0)]));
    },
    message: /length of the machine type/,
    offset: 9,
    found: 1025,
  },
  {
    what: 'control characters in a name',
    bytes: () => beginning().raw(subsection('configuration/\u001b[2J')).bytes,
    message: /control characters/,
  },
  {
    what: 'a name that is not UTF-8',
    bytes: () => beginning().raw(Uint8Array.of(5, 2, 0xc3, 0x28)).bytes,
    message: /not valid UTF-8/,
  },
  {
    what: 'an unknown command',
    bytes: () => beginning().raw(Uint8Array.of(8, 0, 99, 0, 0)).bytes,
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /command 99/,
  },
  {
    what: 'a PACKAGED command',
    bytes: () => beginning().raw(Uint8Array.of(8, 0, 7, 0, 4, 0, 0, 0, 1)).bytes,
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /command PACKAGED/,
  },
  {
    what: 'a command of the wrong length',
    bytes: () => beginning().raw(Uint8Array.of(8, 0, 11, 0, 1, 0)).bytes,
    message: /length of command SWITCHOVER_START/,
    expected: '0',
    found: 1,
  },
  {
    what: 'an unknown record type',
    bytes: () => beginning().raw(Uint8Array.of(0x42)).bytes,
    message: /unknown record type/,
    found: '0x42',
  },
  {
    what: 'another version of the RAM section',
    bytes: () => beginning().raw(encodeSectionHeader('start', { ...RAM, versionId: 3 })).bytes,
    code: 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
    message: /version of the RAM section/,
    found: 3,
  },
  {
    what: 'another instance of the RAM section',
    bytes: () => beginning().raw(encodeSectionHeader('start', { ...RAM, instanceId: 1 })).bytes,
    message: /instance of the RAM section/,
    found: 1,
  },
  {
    what: 'a RAM section that starts twice',
    bytes: () => withPlainStart(encodeSectionHeader('start', { ...RAM, sectionId: 2 })),
    message: /starts twice/,
  },
  {
    what: 'two sections that start with one id',
    bytes: () => withPlainStart(encodeSectionHeader('start', { ...RAM, idstr: 'dirty-bitmap' })),
    message: /section dirty-bitmap or its id 1 starts twice/,
  },
  {
    what: 'a PART of a section that has not started',
    bytes: () => withPlainStart(encodeEmptyRamSection('part', 2)),
    message: /section PART/,
    found: 2,
  },
  {
    what: 'a footer of another section',
    bytes: () => withLast(withPlainStart(), 9),
    message: /no footer after the body of section ram\/0/,
    expected: '0x7e with section id 1',
    found: '0x7e with section id 9',
  },
];

for (const refused of cases) {
  test(`a walk refuses ${refused.what}`, assertRefused, refused);
}

test('the stream that these cases break is whole', async (t) => {
  const { bytes, records } = buildStream(model);
  t.deepEqual(await collect(walkStream(new StrictReader(bytes))), [...records]);
});

test('a body that ends elsewhere than described names section, place, expected and found', async (t) => {
  const { bytes, records } = buildStream(model);
  const section = records.find((record) => record.type === 'section' && record.idstr === 'timer');
  if (section?.type !== 'section') throw new Error('no timer');
  bytes.set(encodeFooter(0x01020304), section.footerOffset);
  const error = await failure(bytes);
  t.is(error.code, 'ERR_MAPPED_RAM_CORRUPT');
  t.is(error.offset, section.footerOffset);
  t.true(error.message.includes(`section timer/0 (at ${section.offset})`));
  t.is(error.expected, '0x7e with section id 100');
  t.is(error.found, '0x7e with section id 16909060');
});
