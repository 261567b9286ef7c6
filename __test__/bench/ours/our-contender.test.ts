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

/**
 * The median of some counts: Node's own threads add calls, thousands on a busy machine, to this work or to the small work
 * that is taken off.
 */
async function medianCallsOf(work: OurWork, size: number): Promise<number | undefined> {
  const counts: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const calls = await callsOf(work, size);
    if (calls !== undefined) counts.push(calls);
  }
  return counts.toSorted((a, b) => a - b)[Math.floor(counts.length / 2)];
}

for (const work of ['save', 'verify'] as const) {
  test.serial(
    `system calls of ${work} are those of its bytes: nothing in them is there whatever the size`,
    async (t) => {
      const [few, many] = [await medianCallsOf(work, 17 * MIB), await medianCallsOf(work, 65 * MIB)];
      if (few === undefined || many === undefined) {
        t.log('skipped: nothing can count system calls here');
        t.pass();
        return;
      }
      t.log(`${few} calls for 17 MiB, ${many} for 65 MiB`);
      // Counted are 16 MiB and 64 MiB, as those of 1 MiB are off. Node's own threads make some tens more or less.
      t.true(many >= (64 * MIB) / (16 * KIB) - 100, `${many}`);
      t.true(Math.abs(many / few - 4) < 0.6, `${many / few}`);
    },
  );
}
