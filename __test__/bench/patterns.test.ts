import { readFile, stat } from 'node:fs/promises';

import test from 'ava';

import { MEMORY_PATTERNS, type MemoryPattern } from '../../ts/bench/figures.ts';
import { makeMemoryFile } from '../../ts/bench/memory-file.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const SIZE = 32 * MIB;

/** A memory file as a naive reader finds it: the lengths of its runs, and whether two pages are alike. */
interface Found {
  readonly bytes: Buffer;
  /** Bytes that the file takes. */
  readonly taken: number;
  readonly dataBytes: number;
  readonly data: readonly number[];
  readonly zero: readonly number[];
  readonly distinctPages: number;
}

async function made(pattern: MemoryPattern, size = SIZE): Promise<Found> {
  await using dir = await temporaryDirectory();
  const path = dir.file('memory');
  const dataBytes = await makeMemoryFile(path, pattern, size, new AbortController().signal);
  const [bytes, { blocks }] = [await readFile(path), await stat(path)];
  const [data, zero]: [number[], number[]] = [[], []];
  const pages = new Set<string>();
  let wasData: boolean | undefined;
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    const isData = page.some((byte) => byte !== 0);
    if (isData) pages.add(page.toString('latin1'));
    const runs = isData ? data : zero;
    if (isData === wasData) runs.push((runs.pop() ?? 0) + 1);
    else runs.push(1);
    wasData = isData;
  }
  return { bytes, taken: blocks * 512, dataBytes, data, zero, distinctPages: pages.size };
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** The share of data, at least and at most, and the longest runs of data and of zeros, in pages. */
const EXPECTED: Readonly<Record<MemoryPattern, readonly [number, number, number, number]>> = {
  random: [1, 1, SIZE / PAGE, 0],
  'half-zero': [0.5, 0.5, 1024, 1024],
  scattered: [0.45, 0.55, 64, 64],
  'mostly-empty': [0.03, 0.08, 64, 64 * 19],
};

for (const pattern of MEMORY_PATTERNS) {
  test(`${pattern} memory has the runs that its name says, and no two pages of data alike`, async (t) => {
    const { bytes, dataBytes, data, zero, distinctPages } = await made(pattern);
    const [least, most, longest, widest] = EXPECTED[pattern];
    t.is(bytes.length, SIZE);
    t.is(sum(data) * PAGE, dataBytes);
    t.is(distinctPages, sum(data));
    const share = dataBytes / SIZE;
    t.true(share >= least && share <= most, `${share}`);
    t.true(Math.max(...data) <= longest, `${Math.max(...data)} pages of data`);
    t.true(Math.max(0, ...zero) <= widest, `${Math.max(0, ...zero)} zero pages`);
  });
}

for (const pattern of MEMORY_PATTERNS) {
  test(`zero pages of ${pattern} memory are there if a guest would have cleared them`, async (t) => {
    const { taken, dataBytes } = await made(pattern);
    if (pattern === 'mostly-empty') t.true(taken < 2 * dataBytes, `${taken}`);
    else t.true(taken >= SIZE, `${taken}`);
  });
}

test('memory that ends with zero pages has them, too', async (t) => {
  const { bytes, taken, zero } = await made('half-zero', 31 * MIB);
  t.is(bytes.length, 31 * MIB);
  t.true(taken >= 31 * MIB, `${taken}`);
  t.is(zero.at(-1), 768);
});

test('scattered runs have every length from 1 to 64 pages', async (t) => {
  const { data } = await made('scattered', 128 * MIB);
  const lengths = new Set(data);
  for (let length = 1; length <= 64; length += 1) t.true(lengths.has(length), `${length}`);
});

test('memory is the same every time', async (t) => {
  const [one, other] = [await made('scattered', 16 * MIB), await made('scattered', 16 * MIB)];
  t.true(one.bytes.equals(other.bytes));
});

test('data is made of random bytes', async (t) => {
  const { bytes } = await made('random', 16 * MIB);
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  const expected = bytes.length / 256;
  t.true(counts.every((count) => Math.abs(count - expected) < expected / 10));
});
