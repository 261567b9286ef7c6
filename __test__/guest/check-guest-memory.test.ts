import test from 'ava';
import * as fc from 'fast-check';

import { checkGuestMemory } from '../../ts/guest/check-guest-memory.ts';
import { guestPattern } from '../../ts/guest/guest-region.ts';
import { readGuestStatus } from '../../ts/guest/guest-status.ts';

const MIB = 1024 * 1024;
const PAGES = 300;
const REGION = { start: 2 * MIB, length: PAGES * 4096 };

interface Moment {
  readonly generation: number;
  readonly page: number;
  /** The number of words of that page that the guest has already written. */
  readonly written?: number;
}

/** The memory of a guest that was stopped at one moment, as an honest guest leaves it. */
class Memory {
  readonly bytes = new Uint8Array(4 * MIB);
  readonly words = new Uint32Array(this.bytes.buffer);
  readonly read = (address: number, length: number): Uint8Array =>
    this.bytes.subarray(address, address + length);

  constructor({ generation, page, written = 0 }: Moment) {
    this.status(0x53455547, generation, page);
    for (let p = 0; p < PAGES; p += 1) {
      this.fill(p, pattern(generation - 1, p), 0, 1024);
      if (p < page) this.fill(p, pattern(generation, p), 0, 1024);
      if (p === page) this.fill(p, pattern(generation, p), 0, written);
    }
  }

  fill(page: number, word: number, from: number, to: number): void {
    const base = REGION.start / 4 + page * 1024;
    this.words.fill(word, base + from, base + to);
  }

  status(magic: number, generation: number, page: number, error = 0, badPage = 0): void {
    this.words.set([magic, 0, generation, page, error, badPage, generation - 1], 0x6000 / 4);
  }
}

/** The rule of the pattern once more, with bigints instead of wrapping multiplication. */
function pattern(generation: number, page: number): number {
  if (generation === 0 || (generation + page) % 8 === 0) return 0;
  return Number(((BigInt(generation) * 0x9e3779b1n) ^ (BigInt(page) * 0x85ebca6bn)) & 0xffffffffn);
}

test('the pattern is what the rule says', (t) => {
  fc.assert(
    fc.property(fc.nat(0xfffffff), fc.nat(0x7ffff), (generation, page) => {
      t.is(guestPattern(generation, page), pattern(generation, page));
    }),
  );
});

test('any honest moment passes, and tells how far the guest is', async (t) => {
  const moments = fc.record({
    generation: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 0xffffffff })),
    page: fc.nat(PAGES),
    written: fc.nat(1024),
  });
  await fc.assert(
    fc.asyncProperty(moments, async (moment) => {
      const { generation, page } = moment;
      t.deepEqual(await checkGuestMemory(new Memory(moment).read, REGION), { generation, page });
    }),
    { numRuns: 50 },
  );
});

test('any single changed word is found at its address', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(PAGES - 1), fc.nat(1023), async (page, word) => {
      const memory = new Memory({ generation: 5, page: 150, written: 512 });
      const index = REGION.start / 4 + page * 1024 + word;
      const honest = memory.words[index] ?? 0;
      memory.words[index] = honest ^ 1;
      const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
        code: 'ERR_MAPPED_RAM_CORRUPT',
      });
      t.like(error, { offset: index * 4, found: hex(honest ^ 1) });
    }),
    { numRuns: 50 },
  );
});

test('a page left from the generation before is found', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  memory.fill(7, pattern(4, 7), 0, 1024);
  await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
    code: 'ERR_MAPPED_RAM_CORRUPT',
    message: /page 7 of the guest region is wrong in word 0 \(generation 5, page 150\)/,
  });
});

test('a page that was not zeroed again is found', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  t.is(pattern(5, 3), 0);
  memory.fill(3, pattern(4, 3), 0, 1024);
  const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION));
  t.like(error, { offset: REGION.start + 3 * 4096, expected: '0x00000000', found: hex(pattern(4, 3)) });
});

test('a page from the future is found', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  memory.fill(151, pattern(5, 151), 0, 1024);
  const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
    code: 'ERR_MAPPED_RAM_CORRUPT',
  });
  t.like(error, { offset: REGION.start + 151 * 4096, expected: hex(pattern(4, 151)) });
});

test('a torn page is found at the word where it tears', async (t) => {
  for (const page of [10, 200]) {
    const memory = new Memory({ generation: 5, page: 150 });
    memory.fill(page, pattern(page === 10 ? 4 : 5, page), 512, 1024);
    const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
      code: 'ERR_MAPPED_RAM_CORRUPT',
    });
    t.like(error, { offset: REGION.start + page * 4096 + 2048 });
  }
});

test('the page being written may be new then old, but not old then new', async (t) => {
  const memory = new Memory({ generation: 5, page: 150, written: 100 });
  memory.fill(150, pattern(5, 150), 200, 300);
  const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
    code: 'ERR_MAPPED_RAM_CORRUPT',
  });
  t.like(error, { offset: REGION.start + 150 * 4096 + 800, found: hex(pattern(5, 150)) });
});

test('pages changed for each other are found', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  memory.fill(20, pattern(5, 21), 0, 1024);
  memory.fill(21, pattern(5, 20), 0, 1024);
  const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
    code: 'ERR_MAPPED_RAM_CORRUPT',
  });
  t.like(error, { offset: REGION.start + 20 * 4096 });
});

test("the guest's own findings are believed", async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  memory.status(0x53455547, 5, 150, 1, 42);
  const error = await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
    message: /found its page 42 wrong/,
  });
  t.like(error, { code: 'ERR_MAPPED_RAM_CORRUPT', offset: REGION.start + 42 * 4096 });
  memory.status(0x53455547, 5, 150, 2);
  await t.throwsAsync(checkGuestMemory(memory.read, REGION), { message: /status block wrong/ });
});

test('an impossible status is refused', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  for (const [generation, page] of [
    [0, 0],
    [5, PAGES + 1],
  ] as const) {
    memory.status(0x53455547, generation, page);
    await t.throwsAsync(checkGuestMemory(memory.read, REGION), {
      code: 'ERR_MAPPED_RAM_CORRUPT',
      message: /impossible/,
    });
  }
});

test('memory in which no guest has started is told apart', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  memory.status(0, 5, 150);
  await t.throwsAsync(checkGuestMemory(memory.read, REGION), { code: 'ERR_MAPPED_RAM_BAD_MAGIC' });
});

test('a read that returns too little is refused', async (t) => {
  const memory = new Memory({ generation: 5, page: 150 });
  const short = (address: number, length: number): Uint8Array =>
    memory.read(address, address < REGION.start ? length : length - 4);
  await t.throwsAsync(checkGuestMemory(short, REGION), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
  await t.throwsAsync(
    readGuestStatus(() => new Uint8Array(8)),
    { code: 'ERR_MAPPED_RAM_TRUNCATED' },
  );
});

test('bytes that are not aligned to words are compared all the same', async (t) => {
  const memory = new Memory({ generation: 5, page: 150, written: 3 });
  const unaligned = (address: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length + 1);
    bytes.set(memory.read(address, length), 1);
    return Promise.resolve(bytes.subarray(1));
  };
  t.deepEqual(await checkGuestMemory(unaligned, REGION), { generation: 5, page: 150 });
});

function hex(word: number): string {
  return `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
}
