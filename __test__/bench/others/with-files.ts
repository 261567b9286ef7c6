import { readdir } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import type { BenchFiles, Contender } from '../../../ts/bench/contender.ts';
import type { MemoryPattern } from '../../../ts/bench/figures.ts';
import { makeBenchFiles } from '../../../ts/bench/files.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { runningWith } from '../running-with.ts';

const MIB = 2 ** 20;
/** Bytes of guest memory in these tests. */
export const SIZE: number = 24 * MIB;

/** Makes files, runs the test with them, and sees to it that folders and processes are gone. */
export async function withFiles(
  t: ExecutionContext,
  pattern: MemoryPattern,
  body: (files: BenchFiles, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await using disk = await temporaryDirectory();
  await using shared = await temporaryDirectory('/dev/shm');
  const { signal } = new AbortController();
  const options = { pattern, size: SIZE, directory: disk.path, memoryDirectory: shared.path, signal };
  {
    await using files = await makeBenchFiles(options);
    const before = await entries(files);
    await body(files, signal);
    // Data without holes, and QEMU's snapshot, are kept for the next kind of work.
    const kept = new Set([...before, 'data', 'qemu.mr']);
    t.deepEqual(
      (await entries(files)).filter((name) => !kept.has(name)),
      [],
    );
  }
  t.deepEqual(await readdir(disk.path), []);
  t.deepEqual(await readdir(shared.path), []);
  t.deepEqual(runningWith(disk.path), []);
  t.deepEqual(runningWith(shared.path), []);
}

async function entries({ directory, memoryDirectory }: BenchFiles): Promise<readonly string[]> {
  return [...(await readdir(directory)), ...(await readdir(memoryDirectory))];
}

/** Runs one round, and looks at what the round has made before it is cleared away. */
export async function round(
  t: ExecutionContext,
  contender: Contender,
  files: BenchFiles,
  signal: AbortSignal,
): Promise<void> {
  await contender.prepare(signal);
  const figures = await contender.run(signal);
  const words = `${contender.name}: ${JSON.stringify(figures)}`;
  t.log(words);
  t.true(contender.isReference);
  t.true(figures.milliseconds > 0, words);
  t.is(figures.bytes, SIZE);
  t.true(figures.dataBytes >= files.dataBytes && figures.dataBytes < files.dataBytes + MIB, words);
  t.true(figures.cpuMs !== undefined && figures.cpuMs >= 0, words);
  t.true(figures.peakBytes !== undefined && figures.peakBytes > MIB, words);
  await contender.prepare(signal);
  const calls = await contender.countSyscalls?.(signal);
  t.true(calls === undefined || calls > 0, `${contender.name}: ${calls} calls`);
}
