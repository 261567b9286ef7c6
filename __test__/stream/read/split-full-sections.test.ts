import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../../ts/errors.ts';
import { bytesReader } from '../../../ts/stream/index.ts';
import { splitFullSections } from '../../../ts/stream/read/split-full-sections.ts';
import { encodeEof, encodeFooter, encodeSectionHeader } from '../../../ts/stream/section.ts';
import { deviceStateBytes, sectionBytes, type StateSection } from '../device-state-bytes.ts';
import { StrictReader } from '../strict-reader.ts';
import { everyChain } from './every-chain.ts';

const HEADER_BYTES = 8;

function header(sectionId: number, idstr: string): Buffer {
  return Buffer.from(encodeSectionHeader('full', { sectionId, idstr, instanceId: 0, versionId: 1 }));
}

function footer(sectionId: number): Buffer {
  return Buffer.from(encodeFooter(sectionId));
}

const RANDOM = fc.uint8Array({ maxLength: 6 });
/** Pieces that make up sections, and bytes that look like parts of them. */
const TOKEN: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.tuple(fc.nat({ max: 2 }), fc.constantFrom('a', 'bb')).map(([id, name]) => header(id, name)),
  fc.nat({ max: 2 }).map((id) => footer(id)),
  fc
    .tuple(fc.nat({ max: 2 }), fc.nat({ max: 2 }), fc.constantFrom('a', '~'))
    .map(([before, id, name]) => Buffer.concat([footer(before), header(id, name)])),
  fc.constantFrom(
    Buffer.from([0]),
    Buffer.from([4]),
    Buffer.from([0x7e]),
    Buffer.from([0x7e, 0, 0, 0, 1, 4]),
  ),
  RANDOM,
);

test('sections are those of the only way to the end, wherever there is exactly one', async (t) => {
  const counts = { none: 0, one: 0, several: 0 };
  const soup = fc.record({
    tokens: fc.array(TOKEN, { maxLength: 14 }),
    proper: fc.boolean(),
    ended: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(soup, async ({ tokens, proper, ended }) => {
      const bytes = Buffer.concat([
        deviceStateBytes([]).subarray(0, HEADER_BYTES),
        ...(proper ? [header(1, 'a')] : []),
        ...tokens,
        ...(ended ? [footer(1), encodeEof()] : []),
      ]);
      const chains = everyChain(bytes, HEADER_BYTES);
      const found = await outcomeOf(bytes);
      if (chains.length > 1) {
        counts.several += 1;
        t.is(found, 'ERR_MAPPED_RAM_UNSUPPORTED');
        return;
      }
      const [chain] = chains;
      if (chain === undefined) {
        counts.none += 1;
        t.is(found, 'ERR_MAPPED_RAM_CORRUPT');
        return;
      }
      counts.one += 1;
      const names = new Set(chain.map(({ name }) => name));
      if (names.size < chain.length) t.is(found, 'ERR_MAPPED_RAM_CORRUPT');
      else
        t.deepEqual(
          found,
          chain.map(({ offset, footerOffset }) => [offset, footerOffset]),
        );
    }),
    { numRuns: 4000 },
  );
  t.true(counts.none > 100 && counts.one > 100 && counts.several > 20, JSON.stringify(counts));
});

async function outcomeOf(bytes: Uint8Array): Promise<string | readonly (readonly number[])[]> {
  try {
    const sections = await splitFullSections(new StrictReader(bytes));
    return sections.map(({ offset, footerOffset }) => [offset, footerOffset]);
  } catch (error) {
    if (error instanceof MappedRamError) return error.code;
    throw error;
  }
}

test('bodies of any bytes and any length are found, also where they end at the border of what is read', async (t) => {
  const lengths = fc.oneof(
    fc.nat({ max: 40 }),
    fc.integer({ min: 256 * 1024 - 320, max: 256 * 1024 + 40 }),
    fc.integer({ min: 512 * 1024 - 320, max: 512 * 1024 + 40 }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(lengths, fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.stringMatching(/^[a-z0-9:./é~-]{1,60}$/u),
      async (bodies, name) => {
        const sections = bodies.map(([length, fill], index): StateSection => ({
          sectionId: 40 - index,
          idstr: `${name}${index}`,
          instanceId: index,
          versionId: index + 7,
          body: Buffer.alloc(length, fill),
        }));
        const bytes = deviceStateBytes(sections);
        const reader = new StrictReader(bytes);
        let offset = HEADER_BYTES;
        const expected = sections.map(({ body, sectionId, idstr, instanceId, versionId }) => {
          const bodyOffset = offset + 14 + Buffer.byteLength(idstr);
          const footerOffset = bodyOffset + body.length;
          const [start, length] = [offset, footerOffset + 5 - offset];
          offset += length;
          const parts = [bodyOffset, body.length, footerOffset];
          return [start, length, sectionId, idstr, instanceId, versionId, parts];
        });
        const found = (await splitFullSections(reader)).map((section) => [
          section.offset,
          section.length,
          section.sectionId,
          section.idstr,
          section.instanceId,
          section.versionId,
          [section.bodyOffset, section.bodyLength, section.footerOffset],
        ]);
        t.deepEqual<unknown, unknown>(found, expected);
        t.true(reader.largest < 2 ** 19);
      },
    ),
    { numRuns: 60 },
  );
});

test('a device that holds what looks like another section makes two ways, and the error names both', async (t) => {
  const inner = Buffer.concat([Buffer.from('abc'), footer(1), header(2, 'two'), Buffer.from('x')]);
  const bytes = deviceStateBytes([
    { sectionId: 1, idstr: 'one', body: inner },
    { sectionId: 2, idstr: 'two', body: Buffer.from('y') },
  ]);
  const [first, second] = [HEADER_BYTES + 17 + 3 + 5, HEADER_BYTES + 17 + inner.length + 5];
  const error = await t.throwsAsync(splitFullSections(bytesReader(bytes, 'state')));
  t.like(error, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', path: 'state', offset: bytes.length - 1 });
  t.regex(error?.message ?? '', new RegExp(`begins at ${first}, and one that begins at ${second}`));
});

test('a footer that nothing follows does not matter, nor does one of another section', async (t) => {
  const body = Buffer.concat([footer(1), footer(2), header(9, 'x'), Buffer.from([0x7e, 0, 0, 0])]);
  const bytes = deviceStateBytes([
    { sectionId: 1, idstr: 'one', body },
    { sectionId: 2, idstr: 'two', body: footer(1) },
  ]);
  const sections = await splitFullSections(bytesReader(bytes));
  t.deepEqual(
    sections.map(({ bodyLength }) => bodyLength),
    [body.length, 5],
  );
});

test('state that is cut off, or goes on behind its end, is refused with the last place that was reached', async (t) => {
  const sections = ['one', 'two', 'three'].map((idstr, index) => ({
    sectionId: index + 1,
    idstr,
    body: Buffer.alloc(30, index),
  }));
  const bytes = deviceStateBytes(sections);
  const second = HEADER_BYTES + sectionBytes(sections[0] ?? { sectionId: 0, idstr: '', body: bytes }).length;
  for (const [what, broken, offset] of [
    ['in its second section', bytes.subarray(0, second + 20), second],
    ['a byte goes on', Buffer.concat([bytes, Buffer.from([0])]), undefined],
    ['no end', bytes.subarray(0, -1), undefined],
    ['nothing but its header', bytes.subarray(0, HEADER_BYTES), HEADER_BYTES],
    ['no section', Buffer.concat([bytes.subarray(0, HEADER_BYTES), Buffer.from([1, 0])]), HEADER_BYTES],
  ] as const) {
    const error = await t.throwsAsync(splitFullSections(new StrictReader(broken)), undefined, what);
    t.like(error, { code: 'ERR_MAPPED_RAM_CORRUPT', path: 'strict' }, what);
    if (offset !== undefined) t.like(error, { offset }, what);
  }
  await t.throwsAsync(splitFullSections(bytesReader(bytes.subarray(0, 6))), {
    code: 'ERR_MAPPED_RAM_TRUNCATED',
  });
  await t.throwsAsync(splitFullSections(bytesReader(Buffer.from('no state at all'))), {
    code: 'ERR_MAPPED_RAM_BAD_MAGIC',
  });
  t.deepEqual(await splitFullSections(bytesReader(deviceStateBytes([]))), []);
});

test('two sections of one name are refused, and those of one id, of which the first may end where the second does', async (t) => {
  const one = { sectionId: 1, idstr: 'one', body: Buffer.from('body') };
  const same = deviceStateBytes([one, { ...one, sectionId: 2 }]);
  await t.throwsAsync(splitFullSections(bytesReader(same)), {
    code: 'ERR_MAPPED_RAM_CORRUPT',
    message: /one\/0 comes twice/,
  });
  const ids = deviceStateBytes([one, { ...one, idstr: 'other' }]);
  await t.throwsAsync(splitFullSections(bytesReader(ids)), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('ways that double with every section are counted, not tried', async (t) => {
  const parts: Buffer[] = [header(1, 'first'), Buffer.from('body')];
  for (let id = 2; id < 200; id += 1) {
    const next = Buffer.concat([footer(id - 1), header(id, 'x')]);
    parts.push(next, next, Buffer.from('body'));
  }
  const bytes = Buffer.concat([
    deviceStateBytes([]).subarray(0, HEADER_BYTES),
    ...parts,
    footer(199),
    encodeEof(),
  ]);
  await t.throwsAsync(splitFullSections(new StrictReader(bytes)), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
});

test('state that is full of beginnings of sections ends the search, whatever its size', async (t) => {
  const next = Buffer.concat([footer(1), header(1, 'x')]);
  const many = Buffer.alloc(next.length * 70_000, next);
  const bytes = Buffer.concat([deviceStateBytes([]).subarray(0, HEADER_BYTES), header(1, 'x'), many]);
  const error = await t.throwsAsync(splitFullSections(new StrictReader(bytes)));
  t.like(error, { code: 'ERR_MAPPED_RAM_CORRUPT' });
  t.regex(error?.message ?? '', /more than 65536 places/);
});

test('state that is full of footers is gone through once', async (t) => {
  const size = 2 ** 23;
  for (const fill of [Buffer.from([0x7e]), footer(1), Buffer.concat([footer(1), Buffer.from([4])])]) {
    const start = Buffer.concat([deviceStateBytes([]).subarray(0, HEADER_BYTES), header(1, 'x')]);
    const reader = new StrictReader(Buffer.concat([start, Buffer.alloc(size, fill)]));
    await t.throwsAsync(splitFullSections(reader), { code: 'ERR_MAPPED_RAM_CORRUPT' });
    t.true(reader.total < 1.1 * size);
    t.true(reader.largest < 2 ** 19);
  }
});
