import test from 'ava';
import * as fc from 'fast-check';

import { encodeCommand } from '../../../ts/stream/command.ts';
import { bytesReader, readStreamIndex } from '../../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
} from '../../../ts/stream/section.ts';
import {
  encodeEmptyRamSection,
  encodeMappedRamStart,
  encodePlainRamStart,
} from '../../../ts/stream/write/encode-ram.ts';
import { assertReadersAgree } from '../../support/both-readers.ts';

const BLOCKS = [{ id: 'a', length: 8192 }];
const LIVE = { sectionId: 9, idstr: 'vfio', instanceId: 0, versionId: 1 };

const FOOTER = encodeFooter(9);
/** The types of records that can stand behind a section. */
const RECORDS = [0, 1, 2, 3, 4, 8];

/** Bodies, some of them with things in them that look like footers and like records. */
const body = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc.constant(FOOTER),
      fc.constant(encodeFooter(1)),
      fc.constant(encodeEmptyRamSection('end')),
      fc.constant(encodeCommand(11)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)))
  // A footer with a record behind it is no body: nobody could tell.
  .filter((bytes) => RECORDS.every((type) => !Buffer.from(bytes).includes(Buffer.of(...FOOTER, type))));

function section(kind: 'start' | 'part' | 'end', bytes: Uint8Array): Uint8Array {
  const head = kind === 'start' ? encodeSectionHeader('start', LIVE) : encodeSectionContinuation(kind, 9);
  return Buffer.concat([head, bytes, encodeFooter(9)]);
}

/** What follows RAM START: live state in all its places. */
function rest(start: Uint8Array, parts: readonly Uint8Array[], end: Uint8Array): Uint8Array {
  const rounds = parts.flatMap((part) => [encodeEmptyRamSection('part'), section('part', part)]);
  const tail = [encodeCommand(11), encodeEmptyRamSection('end'), section('end', end), encodeEof()];
  return Buffer.concat([section('start', start), ...rounds, ...tail]);
}

test('live state is bounded by its footers, whatever it holds and wherever it stands, by both readers', async (t) => {
  await fc.assert(
    fc.asyncProperty(body, fc.array(body, { maxLength: 3 }), body, async (start, parts, end) => {
      const configuration = { machine: 'pc', capabilities: [] };
      const plain = Buffer.concat([
        encodePlainRamStart({ configuration, blocks: BLOCKS }),
        rest(start, parts, end),
      ]);
      await assertReadersAgree(bytesReader(plain));
      const mapped = encodeMappedRamStart({
        configuration: { machine: 'pc', capabilities: ['mapped-ram'] },
        blocks: BLOCKS,
        alignment: 4096,
      });
      const bytes = Buffer.alloc(mapped.endOffset);
      for (const segment of mapped.segments) bytes.set(segment.bytes, segment.offset);
      for (const stream of [plain, Buffer.concat([bytes, rest(start, parts, end)])]) {
        const { complete, problem, sections } = await readStreamIndex(bytesReader(stream));
        t.true(complete, problem?.message);
        const lengths = sections.map(({ kind, bodyLength }) => [kind, bodyLength]);
        t.deepEqual(lengths.at(0), ['start', start.length]);
        t.deepEqual(lengths.at(-1), ['end', end.length]);
        // PARTs that have only empty PARTs of RAM between them are one.
        t.is(lengths.length, parts.length === 0 ? 2 : 3);
      }
    }),
    { numRuns: 200 },
  );
});

test('ten thousands of PARTs are one section', async (t) => {
  const parts = Array.from({ length: 20_000 }, () => Uint8Array.of(1));
  const configuration = { machine: 'pc', capabilities: [] };
  const bytes = Buffer.concat([
    encodePlainRamStart({ configuration, blocks: BLOCKS }),
    rest(Uint8Array.of(1), parts, Uint8Array.of(1)),
  ]);
  const { complete, sections } = await readStreamIndex(bytesReader(bytes));
  t.true(complete);
  t.deepEqual(
    sections.map(({ kind }) => kind),
    ['start', 'part', 'end'],
  );
  await assertReadersAgree(bytesReader(bytes));
});
