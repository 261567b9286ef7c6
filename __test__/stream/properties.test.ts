import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import { readStreamIndex, walkStream } from '../../ts/stream/index.ts';
import { streamModel } from '../support/stream-arbitraries.ts';
import { buildStream } from '../support/stream-builder.ts';
import { collect, StrictReader } from './strict-reader.ts';

test('a walk yields exactly the records that were written', async (t) => {
  await fc.assert(
    fc.asyncProperty(streamModel(), async (model) => {
      const { bytes, records } = buildStream(model);
      t.deepEqual(await collect(walkStream(new StrictReader(bytes), { offset: model.base })), [...records]);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('an index of a whole stream is complete and lists what was written', async (t) => {
  await fc.assert(
    fc.asyncProperty(streamModel(), async (model) => {
      const { bytes, records } = buildStream(model);
      const index = await readStreamIndex(new StrictReader(bytes), { offset: model.base });
      t.is(index.problem, undefined);
      t.true(index.complete);
      t.deepEqual(index.configuration, model.configuration);
      t.deepEqual(
        index.ram?.blocks.map(({ id, length, address }) => ({ id, length, address })),
        model.blocks.map(({ id, length, address }) => ({ id, length, address })),
      );
      const devices = [...model.early, ...model.devices].map(({ idstr, instanceId }) => ({
        idstr,
        instanceId,
      }));
      t.deepEqual(
        index.sections.map(({ idstr, instanceId }) => ({ idstr, instanceId })),
        devices,
      );
      t.is(index.sections.filter(({ early }) => early).length, model.early.length);
      t.is(index.eofOffset, records.find(({ type }) => type === 'eof')?.offset);
      t.is(index.trailing?.length ?? 0, model.trailing);
    }),
    { numRuns: 100 },
  );
});

test('every place to cut a stream off leaves an incomplete index or a MappedRamError', async (t) => {
  await fc.assert(
    fc.asyncProperty(streamModel({ minDevices: 2, trailing: false }), async (model) => {
      const { bytes, records } = buildStream(model);
      // One place inside a page is as good as another.
      const ends = new Set(records.flatMap(({ offset, length }) => [offset, offset + length - 1]));
      for (let end = model.base; end < bytes.length; end += bytes.length > 3000 ? 13 : 1) ends.add(end);
      for (const end of ends) {
        const cut = bytes.subarray(0, end);
        const index = await indexOrError(cut, model.base);
        if (index instanceof MappedRamError) continue;
        t.false(index.complete, `complete at ${end} of ${bytes.length}`);
        t.true(index.problem instanceof MappedRamError);
      }
    }),
    { numRuns: 15 },
  );
});

test('whatever bytes are changed, a walk ends with a result or a MappedRamError', async (t) => {
  const change = fc.record({ at: fc.nat(), value: fc.nat({ max: 255 }) });
  let readable = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      streamModel(),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (model, changes, inRecords) => {
        const { bytes, records } = buildStream(model);
        // Half of the runs change the heads of records: most of a stream is bodies and pages, which are not parsed.
        for (const { at, value } of changes) {
          const record = records[at % records.length];
          const start = inRecords && record !== undefined ? record.offset : model.base;
          const span =
            inRecords && record !== undefined ? Math.min(record.length, 40) : bytes.length - model.base;
          bytes[start + (at % span)] = value;
        }
        const index = await indexOrError(bytes, model.base);
        if (index instanceof MappedRamError || !index.complete) refused += 1;
        else readable += 1;
      },
    ),
    { numRuns: 1500 },
  );
  t.true(readable > 0 && refused > 0, `${readable} readable, ${refused} refused`);
});

/** The index, or its MappedRamError. Any other error fails the test, and so does a walk that disagrees. */
async function indexOrError(
  bytes: Uint8Array,
  offset: number,
): Promise<MappedRamError | Awaited<ReturnType<typeof readStreamIndex>>> {
  const walked = await collect(walkStream(new StrictReader(bytes), { offset })).catch(onlyMappedRamError);
  const index = await readStreamIndex(new StrictReader(bytes), { offset }).catch(onlyMappedRamError);
  if (!(index instanceof MappedRamError) && index.complete && walked instanceof MappedRamError) throw walked;
  return index;
}

function onlyMappedRamError(error: unknown): MappedRamError {
  if (error instanceof MappedRamError) return error;
  throw error;
}
