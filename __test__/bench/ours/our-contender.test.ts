import { readdir } from 'node:fs/promises';

import test from 'ava';

import { makeBenchFiles } from '../../../ts/bench/files.ts';
import type { OurWork } from '../../../ts/bench/ours/job.ts';
import { OurContender } from '../../../ts/bench/ours/our-contender.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const MIB = 2 ** 20;
const KIB = 2 ** 10;

/** Counts the system calls of a kind of work on so many bytes, in requests of 16 KiB by one thread. */
async function callsOf(work: OurWork, size: number): Promise<number | undefined> {
  await using disk = await temporaryDirectory();
  await using shared = await temporaryDirectory('/dev/shm');
  const { signal } = new AbortController();
  const places = { directory: disk.path, memoryDirectory: shared.path };
  await using files = await makeBenchFiles({ pattern: 'random', size, ...places, signal });
  const before = await readdir(files.directory);
  const transfer = { ioEngine: 'threads', channels: 1, requestSize: 16 * KIB, directIo: 'off' } as const;
  await using contender = new OurContender({ name: work, work, files, state: 'warm', transfer });
  await contender.prepare(signal);
  const calls = await contender.countSyscalls(signal);
  if ((await readdir(files.directory)).length !== before.length) throw new Error('files were left behind');
  return calls;
}

/** Odd, as a median is taken. */
const MOST_ROUNDS = 9;

function median(counts: readonly number[]): number {
  return counts.toSorted((a, b) => a - b)[Math.floor(counts.length / 2)] ?? Number.NaN;
}

for (const work of ['save', 'verify'] as const) {
  test.serial(
    `system calls of ${work} are those of its bytes: nothing in them is there whatever the size`,
    async (t) => {
      const [few, many]: [number[], number[]] = [[], []];
      // Counted are 16 MiB and 64 MiB, as those of 1 MiB are off.
      const fits = (): boolean =>
        median(many) >= (64 * MIB) / (16 * KIB) - 100 && Math.abs(median(many) / median(few) - 4) < 0.6;
      // Node's own threads add some tens of calls, and thousands in some rounds on a busy machine, to this work or to the
      // small work that is taken off. Calls that follow the bytes in no way have no medians that fit, however many rounds.
      for (let round = 1; round <= MOST_ROUNDS; round += 1) {
        const [small, large] = [await callsOf(work, 17 * MIB), await callsOf(work, 65 * MIB)];
        if (small === undefined || large === undefined) continue;
        few.push(small);
        many.push(large);
        if (few.length >= 3 && fits()) break;
      }
      if (few.length === 0) {
        t.log('skipped: nothing can count system calls here');
        t.pass();
        return;
      }
      t.log(`calls for 17 MiB: ${few.join(', ')}; for 65 MiB: ${many.join(', ')}`);
      t.true(fits(), `${median(few)} and ${median(many)}`);
    },
  );
}
