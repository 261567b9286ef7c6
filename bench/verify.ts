/**
 * Measures the reading of the set pages of a snapshot with 2 GiB of random memory: by `verify`, without and with a seal
 * to check against, and, as the measure of the disk, by fio reading the same pages in order.
 *
 * node --import=@oxc-node/core/register bench/verify.ts [--dir DIR] [--rounds N] [--mib N]
 */
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { syntheticState } from '../__test__/support/synthetic.ts';
import { pack, Snapshot, verify, type VerifyOptions } from '../ts/index.ts';
import { alternate, printTable } from './measure.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '7' },
    mib: { type: 'string', default: '2048' },
  },
});
/** Options that give fio the rings of this package, where the memlock limit allows them. */
const REGISTERED = ['--fixedbufs=1', '--registerfiles=1', '--iomem=mmap'];
const mib = Number(values.mib);
const bytes = mib * 2 ** 20;
const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const snapshot = join(disk, 'guest.mr');
const elsewhere = join(disk, 'guest.seal');
try {
  await makeSnapshot();
  const pagesOffset = await pagesOffsetOf(snapshot);
  let report = '';
  const timed = async (options: VerifyOptions): Promise<number> => {
    const result = await verify(snapshot, { ...options, directIo: 'on' });
    if (!result.verified || result.transfer?.dataBytes !== bytes) throw new Error(JSON.stringify(result));
    const { ioEngine, channels, queueDepth, requestSize } = result.transfer;
    report = `${ioEngine}, ${channels} channel(s) × ${queueDepth} requests of ${requestSize} bytes`;
    return result.elapsedMs;
  };
  const measurements = await alternate(
    [
      { name: 'fio, io_uring, direct, 1 MiB × 16', run: () => fio(pagesOffset, []) },
      { name: 'fio, the same with registered buffers', run: () => fio(pagesOffset, REGISTERED) },
      { name: 'verify', run: () => timed({}) },
      { name: 'verify, against a seal', run: () => timed({ sealPath: elsewhere }) },
    ],
    Number(values.rounds),
  );
  printTable(measurements, bytes);
  const [plain, registered, ...ours] = measurements.map(({ name, median }) => ({ name, median }));
  const best = Math.min(plain?.median ?? NaN, registered?.median ?? NaN);
  for (const { name, median } of ours)
    console.log(`${name}: ${(best / median).toFixed(2)} of fio's better rate`);
  console.log(report);
} finally {
  await rm(disk, { recursive: true, force: true });
}

async function makeSnapshot(): Promise<void> {
  const memory = await mkdtemp('/dev/shm/mapped-ram-bench-');
  try {
    const ram = join(memory, 'ram');
    await using handle = await open(ram, 'w');
    const piece = Buffer.allocUnsafe(16 * 2 ** 20);
    for (let done = 0; done < bytes; done += piece.length) {
      await handle.write(randomFillSync(piece), 0, Math.min(piece.length, bytes - done), done);
    }
    const state = join(disk, 'state');
    await writeFile(state, syntheticState({ blocks: [{ id: 'pc.ram', length: bytes }] }));
    await pack(snapshot, { state, ram: { 'pc.ram': ram }, seal: true, sealPath: elsewhere });
  } finally {
    await rm(memory, { recursive: true, force: true });
  }
}

async function pagesOffsetOf(path: string): Promise<number> {
  await using opened = await Snapshot.open(path);
  return opened.completeRam().blocks[0]?.area.pagesOffset ?? NaN;
}

/** Returns the time of fio's reads, as fio reports it. */
async function fio(offset: number, more: readonly string[]): Promise<number> {
  const how = ['--rw=read', '--ioengine=io_uring', '--direct=1', '--bs=1M', '--iodepth=16', '--readonly'];
  const what = [`--filename=${snapshot}`, `--offset=${offset}`, `--size=${bytes}`];
  const { stdout } = await run('fio', ['--name=read', ...how, ...more, ...what, '--output-format=json']);
  const report: {
    readonly jobs: readonly { readonly read: { readonly runtime: number; readonly io_bytes: number } }[];
  } = JSON.parse(stdout);
  const [job] = report.jobs;
  if (job?.read.io_bytes !== bytes) throw new Error('fio has not read what it was to read');
  return job.read.runtime;
}
