/**
 * Measures the save of a guest with 2 GiB of random memory in /dev/shm: by this package, by QEMU itself (mapped-ram,
 * multifd, direct-io, four channels) and, as the measure of the disk, by fio writing as much.
 *
 * node --import=@oxc-node/core/register bench/save.ts [--dir DIR] [--rounds N] [--mib N]
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { startGuest } from '../__test__/support/qemu.ts';
import { pack } from '../ts/index.ts';
import { saveTo } from '../__test__/support/plain-migration.ts';
import { fillRandom } from './fill-random.ts';
import { alternate, printTable } from './measure.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '2048' },
  },
});
const mib = Number(values.mib);
const bytes = mib * 2 ** 20;
const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const memory = await mkdtemp('/dev/shm/mapped-ram-bench-');
try {
  await fillRandom(join(memory, 'm0.ram'), bytes);
  await using guest = await startGuest({ memoryMiB: mib, backend: 'file', share: true, memPathDir: memory });
  await guest.waitForGenerations(3);
  await guest.stop();
  const state = join(disk, 'state');
  await saveTo(guest.qmp, `file:${state}`, { mappedRam: false, xIgnoreShared: true });
  let report = '';
  const measurements = await alternate(
    [
      { name: 'fio, io_uring, direct, 1 MiB × 16', run: fio },
      {
        name: 'QEMU, mapped-ram, multifd × 4, direct-io',
        run: async () => {
          const target = join(disk, 'qemu');
          await rm(target, { force: true });
          // A guest that has been saved must go on before it can be saved again.
          await guest.cont();
          await guest.stop();
          const started = performance.now();
          await saveTo(guest.qmp, `file:${target}`, { multifd: true, channels: 4, directIo: true });
          return performance.now() - started;
        },
      },
      {
        name: 'mapped-ram pack, fsync included',
        run: async () => {
          const target = join(disk, 'ours');
          await rm(target, { force: true });
          const result = await pack(target, { state, ram: { m0: join(memory, 'm0.ram') }, directIo: 'on' });
          const { ioEngine, channels, queueDepth, requestSize, registeredBuffers } = result.transfer;
          report = `${ioEngine}, ${channels} channel(s) × ${queueDepth} requests of ${requestSize} bytes, buffers ${registeredBuffers ? '' : 'not '}registered`;
          return result.elapsedMs;
        },
      },
    ],
    Number(values.rounds),
  );
  printTable(measurements, bytes);
  console.log(report);
} finally {
  await rm(disk, { recursive: true, force: true });
  await rm(memory, { recursive: true, force: true });
}

/** Returns the time of fio's writes, as fio reports it. */
async function fio(): Promise<number> {
  const target = join(disk, 'fio');
  await rm(target, { force: true });
  const options = [
    '--name=write',
    '--rw=write',
    '--ioengine=io_uring',
    '--direct=1',
    '--bs=1M',
    '--iodepth=16',
  ];
  const { stdout } = await run('fio', [
    ...options,
    `--filename=${target}`,
    `--size=${mib}M`,
    '--output-format=json',
  ]);
  const report: { readonly jobs: readonly { readonly write: { readonly runtime: number } }[] } =
    JSON.parse(stdout);
  return report.jobs[0]?.write.runtime ?? NaN;
}
