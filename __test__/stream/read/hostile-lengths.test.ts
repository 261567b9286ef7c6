import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../../ts/errors.ts';
import { readStreamIndex } from '../../../ts/stream/index.ts';
import { encodeVmdescription } from '../../../ts/stream/section.ts';
import { encodeMappedRamStart } from '../../../ts/stream/write/encode-ram.ts';
import { CURSOR_WINDOW } from '../../../ts/stream/read/stream-cursor.ts';
import { streamModel } from '../../support/stream-arbitraries.ts';
import { model, timer } from '../broken-streams.ts';
import { buildStream } from '../../support/stream-builder.ts';
import { StrictReader } from '../strict-reader.ts';

/** A size at which no length in a stream is refused for lack of bytes. */
const ENDLESS = 2 ** 52;
const MIB = 1024 * 1024;

test('no length in a stream decides how much is read at once', async (t) => {
  const change = fc.record({ at: fc.nat(), value: fc.constantFrom(0, 1, 0x7f, 0xff) });
  await fc.assert(
    fc.asyncProperty(streamModel(), fc.array(change, { maxLength: 3 }), async (stream, changes) => {
      const { bytes, records } = buildStream(stream);
      for (const { at, value } of changes) {
        const record = records[at % records.length];
        if (record !== undefined) bytes[record.offset + (at % Math.min(record.length, 60))] = value;
      }
      const reader = new StrictReader(bytes, ENDLESS);
      await readStreamIndex(reader, { offset: stream.base }).catch((error: unknown) => {
        if (!(error instanceof MappedRamError)) throw error;
      });
      // The head of a vmdescription may reach over a window's edge by a few bytes.
      t.true(reader.largest <= CURSOR_WINDOW + 16, `${reader.largest}`);
      // A search reads 16 MiB at the end and 64 forward, and there are two of them in some streams.
      t.true(reader.total <= 2 * (16 + 64) * MIB, `${reader.total}`);
    }),
    { numRuns: 40 },
  );
});

test('a vmdescription of gigabytes is not read', async (t) => {
  const length = 0xffff_fff0;
  const record = encodeVmdescription(new TextEncoder().encode('{"devices": []}'));
  new DataView(record.buffer).setUint32(1, length);
  for (const devices of [[], [timer]]) {
    const { bytes } = buildStream({ ...model, devices, vmdescription: false });
    const strict = new StrictReader(Uint8Array.from([...bytes, ...record]), bytes.length + 5 + length);
    const reader = {
      name: strict.name,
      size: strict.size,
      read: async (offset: number, count: number): Promise<Uint8Array> => {
        if (count > MIB) throw new RangeError(`read(${offset}, ${count})`);
        const read = await strict.read(offset, count);
        // The last byte is a brace, as at the end of JSON.
        if (offset + count === strict.size) read[count - 1] = 0x7d;
        return read;
      },
    };
    const index = await readStreamIndex(reader);
    t.is(index.complete, devices.length === 0);
    t.is(index.vmdescription?.jsonLength, devices.length === 0 ? length : undefined);
    t.is(index.vmdescription?.json, undefined);
    t.true(strict.largest <= CURSOR_WINDOW + 16);
  }
});

test('what a walk reads of a mapped-ram file does not grow with its pages', async (t) => {
  const block = { id: 'pc.ram', length: 2 ** 45 };
  const start = encodeMappedRamStart({ configuration: model.configuration, blocks: [block] });
  const [head, tail] = start.segments;
  const large = {
    name: 'large',
    size: start.endOffset + 1,
    read: async (offset: number, length: number): Promise<Uint8Array> => {
      t.true(length <= CURSOR_WINDOW + 16);
      const bytes = new Uint8Array(length);
      for (const segment of [head, tail]) {
        for (const [at, byte] of segment?.bytes.entries() ?? []) {
          const place = (segment?.offset ?? 0) + at - offset;
          if (place >= 0 && place < length) bytes[place] = byte;
        }
      }
      return bytes;
    },
  };
  const index = await readStreamIndex(large);
  t.true(index.complete);
  t.is(index.ram?.blocks[0]?.length, 2 ** 45);
});
