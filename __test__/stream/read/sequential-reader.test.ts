import test from 'ava';
import * as fc from 'fast-check';

import { SequentialReader } from '../../../ts/stream/read/sequential-reader.ts';
import { inChunks } from '../in-chunks.ts';

test('what is read is what the chunks hold, however they are cut and whatever was released', async (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 5 });
  const steps = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 90 }), fc.boolean()));
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      sizes,
      fc.nat({ max: 9 }),
      steps,
      async (bytes, cuts, base, plan) => {
        const reader = new SequentialReader('pipe', inChunks(bytes, cuts), 'stream', base);
        const seen: (readonly [Uint8Array, Uint8Array])[] = [];
        let at = base;
        for (const [distance, length, isReleased] of plan) {
          const found = await reader.read(at + distance, length);
          seen.push([found, bytes.slice(at + distance - base, at + distance - base + length)]);
          if (isReleased) {
            at += distance;
            reader.release(at);
          }
        }
        // Later reads do not change bytes that were given out before.
        for (const [found, expected] of seen) t.deepEqual(Uint8Array.from(found), expected);
      },
    ),
  );
});

test('the size is known at the end, and what was released is gone', async (t) => {
  const reader = new SequentialReader('pipe', inChunks(new Uint8Array(10), [3]));
  t.is(reader.size, Number.MAX_SAFE_INTEGER);
  t.is((await reader.read(8, 5)).length, 2);
  t.is(reader.size, 10);
  reader.release(4);
  await t.throwsAsync(reader.read(3, 1), { code: 'ERR_MAPPED_RAM_INTERNAL' });
});

test('what is skipped is not kept', async (t) => {
  let given = 0;
  const chunk = new Uint8Array(1 << 20);
  async function* many(): AsyncGenerator<Uint8Array> {
    while (given < 512) {
      given += 1;
      yield chunk;
    }
  }
  const reader = new SequentialReader('pipe', many());
  reader.release(500 * chunk.length);
  const before = process.memoryUsage().arrayBuffers;
  t.is((await reader.read(500 * chunk.length, 10)).length, 10);
  t.true(process.memoryUsage().arrayBuffers - before < 64 * chunk.length);
});
