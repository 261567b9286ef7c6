import test from 'ava';
import * as fc from 'fast-check';

import { execute } from '../../fuzz/execute.ts';
import { denseInput } from '../../fuzz/sparse-input.ts';
import { loadTarget } from '../../fuzz/target.ts';
import { MappedRamError } from '../../ts/errors.ts';
import { bytesReader, walkStream, type StreamRecord } from '../../ts/stream/index.ts';
import { encodeVmdescription } from '../../ts/stream/section.ts';
import { streamModel } from '../support/stream-arbitraries.ts';
import { buildStream } from '../support/stream-builder.ts';
import { fieldsOf, getField, setField } from './stream-fields.ts';

/** Streams that start where their file does: the targets read no others. */
const models = streamModel().filter(({ base }) => base === 0);

const targets = [await loadTarget('stream-index'), await loadTarget('carry')];

/** `numRuns` cases, or as many as fit into MAPPED_RAM_FUZZ_MINUTES. */
function runs(numRuns: number): fc.Parameters<unknown> {
  const minutes = Number(process.env['MAPPED_RAM_FUZZ_MINUTES'] ?? 0);
  return minutes > 0 ? { numRuns: Infinity, interruptAfterTimeLimit: minutes * 60_000 } : { numRuns };
}

/** Asserts that all data read from a stream holds, and that errors are known ones. @returns how far each target came */
async function assertHolds(bytes: Uint8Array): Promise<readonly string[]> {
  const reached: string[] = [];
  for (const target of targets) {
    const outcome = await execute(target, denseInput(bytes));
    if (outcome.fault !== undefined) throw outcome.fault;
    reached.push(outcome.reached);
  }
  return reached;
}

/** Random numbers, among which the edges of number formats are frequent. */
const value = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 52n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const step = fc.constantFrom(-4096n, -8n, -1n, 1n, 8n, 4096n);
const change = fc.record({
  field: fc.nat(),
  /** Another field, whose value this one may take. */
  source: fc.nat(),
  how: fc.oneof(
    fc.record({ value }),
    fc.record({ step }),
    fc.constant('other' as const),
    fc.constant('size' as const),
  ),
});

// The tests run one after the other: an execution's use of memory is measured by the process's.
test.serial(
  'a stream with other numbers in its fields gives what holds, or an error with a known code',
  async (t) => {
    let readable = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(models, fc.array(change, { minLength: 1, maxLength: 3 }), async (model, changes) => {
        const { bytes, records } = buildStream(model);
        const fields = records.flatMap((record) => fieldsOf(record));
        for (const { field: place, source, how } of changes) {
          const [field, other] = [fields[place % fields.length], fields[source % fields.length]];
          if (field === undefined || other === undefined) throw new Error('a stream without fields');
          const own = getField(bytes, field);
          if (how === 'other') setField(bytes, field, getField(bytes, other));
          else if (how === 'size') setField(bytes, field, BigInt(bytes.length));
          else setField(bytes, field, 'step' in how ? own + how.step : how.value);
        }
        const [, carried] = await assertHolds(bytes);
        if (carried === 'incomplete' || carried?.startsWith('ERR_') === true) refused += 1;
        else readable += 1;
      }),
      runs(700),
    );
    t.true(readable > 0 && refused > readable, `${readable} readable, ${refused} refused`);
  },
);

test.serial('no number in a stream is passed over: changed by one, it shows in what is read', async (t) => {
  await fc.assert(
    fc.asyncProperty(models, async (model) => {
      const { bytes, records } = buildStream(model);
      const fields = records.flatMap((record) => fieldsOf(record));
      for (const field of fields) {
        const changed = bytes.slice();
        setField(changed, field, getField(bytes, field) + 1n);
        t.notDeepEqual(await recordsOf(changed), [...records], `${field.size} bytes at ${field.offset}`);
      }
    }),
    runs(60),
  );
});

async function recordsOf(bytes: Uint8Array): Promise<readonly (StreamRecord | MappedRamError)[]> {
  const read: (StreamRecord | MappedRamError)[] = [];
  try {
    for await (const record of walkStream(bytesReader(bytes))) read.push(record);
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    read.push(error);
  }
  return read;
}

test.serial(
  'a stream whose records are left out, doubled or exchanged gives what holds, or a known error',
  async (t) => {
    const move = fc.record({
      from: fc.nat(),
      to: fc.nat(),
      how: fc.constantFrom('drop', 'double', 'move', 'exchange'),
    });
    await fc.assert(
      fc.asyncProperty(models, fc.array(move, { minLength: 1, maxLength: 3 }), async (model, moves) => {
        const stream = buildStream(model);
        const pieces = stream.records
          .filter(({ type }) => !type.startsWith('ram-'))
          .map(({ offset, length }) => stream.bytes.slice(offset, offset + length));
        for (const { from, to, how } of moves)
          rearrange(pieces, from % pieces.length, to % pieces.length, how);
        await assertHolds(Buffer.concat(pieces));
      }),
      runs(700),
    );
    t.pass();
  },
);

function rearrange(pieces: Uint8Array[], from: number, to: number, how: string): void {
  const piece = pieces[from];
  const other = pieces[to];
  if (piece === undefined || other === undefined) return;
  if (how === 'drop' || how === 'move') pieces.splice(from, 1);
  if (how === 'double' || how === 'move') pieces.splice(to, 0, piece);
  if (how === 'exchange') [pieces[from], pieces[to]] = [other, piece];
}

/** Values most of which fit no place of a vmdescription. */
const odd = fc.constantFrom<unknown>(
  0,
  -1,
  0.5,
  1e300,
  2 ** 32,
  2 ** 53,
  '',
  'x',
  null,
  true,
  [],
  {},
  [[]],
  [null],
);

test.serial(
  'whatever stands in a vmdescription, what is read holds, or the error is a known one',
  async (t) => {
    let measured = 0;
    await fc.assert(
      fc.asyncProperty(
        models,
        fc.array(fc.nat(), { maxLength: 8 }),
        odd,
        async (model, path, replacement) => {
          const stream = buildStream(model);
          const record = stream.records.find(({ type }) => type === 'vmdescription');
          if (record === undefined) throw new Error('a stream without vmdescription');
          const json = stream.bytes.subarray(record.offset + 5, record.offset + record.length);
          const parsed: unknown = JSON.parse(new TextDecoder().decode(json));
          const changed = new TextEncoder().encode(JSON.stringify(replaced(parsed, path, replacement)));
          const bytes = Buffer.concat([
            stream.bytes.subarray(0, record.offset),
            encodeVmdescription(changed),
          ]);
          const [reached] = await assertHolds(bytes);
          if (reached !== undefined) measured += 1;
        },
      ),
      runs(700),
    );
    t.true(measured > 0);
  },
);

/** A copy with another value at the end of the path. Each number of the path chooses a member. */
function replaced(parent: unknown, path: readonly number[], replacement: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined || typeof parent !== 'object' || parent === null) return replacement;
  const entries = Object.entries(parent);
  const entry = entries[first % Math.max(1, entries.length)];
  if (entry === undefined) return replacement;
  const [key, member] = entry;
  const changed = replaced(member, rest, replacement);
  return Array.isArray(parent) ? parent.with(Number(key), changed) : { ...parent, [key]: changed };
}
