/**
 * Measures the comparison of two snapshots with 2 GiB of random pages each, which reads all of them: by this package,
 * and, as the measure of the disk, by fio reading the same two files one after the other. One page in a thousand
 * differs.
 *
 * node --import=@oxc-node/core/register bench/diff.ts [--dir DIR] [--rounds N] [--mib N] [--io-engine E] [--channels N]
 */
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { PAGE, syntheticState } from '../__test__/support/synthetic.ts';
import { diff, pack, type IoEngine } from '../ts/index.ts';
import { alternate, printTable } from './measure.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '2048' },
    'io-engine': { type: 'string', default: 'auto' },
    channels: { type: 'string' },
  },
});
const ENGINES: readonly IoEngine[] = ['auto', 'io_uring', 'threads'];
const ioEngine = ENGINES.find((choice) => choice === values['io-engine']);
const channels = values.channels === undefined ? undefined : Number(values.channels);
const mib = Number(values.mib);
const length = mib * 2 ** 20;
const CHANGED_EVERY = 1000;
const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const memory = await mkdtemp('/dev/shm/mapped-ram-bench-');
try {
  const [left, right] = [join(disk, 'left'), join(disk, 'right')];
  await makeSnapshots(left, right);
  let report = '';
  const measurements = await alternate(
    [
      { name: 'fio, io_uring, direct, 1 MiB × 16', run: () => fio([left, right]) },
      {
        name: 'mapped-ram diff',
        run: async () => {
          const { blocks, transfer, elapsedMs } = await diff(left, right, {
            directIo: 'on',
            ioEngine,
            channels,
          });
          const changed = blocks[0]?.changed ?? 0;
          if (transfer.dataBytes !== 2 * length || changed !== Math.ceil(length / PAGE / CHANGED_EVERY))
            throw new Error(`${transfer.dataBytes} bytes read, ${changed} pages changed`);
          report = `${transfer.ioEngine}, ${transfer.channels} channel(s) × ${transfer.queueDepth} requests of ${transfer.requestSize} bytes for each file`;
          return elapsedMs;
        },
      },
    ],
    Number(values.rounds),
  );
  printTable(measurements, 2 * length);
  console.log(report);
} finally {
  await rm(disk, { recursive: true, force: true });
  await rm(memory, { recursive: true, force: true });
}

async function makeSnapshots(left: string, right: string): Promise<void> {
  const [ram, state] = [join(memory, 'ram'), join(disk, 'state')];
  await writeFile(state, syntheticState({ blocks: [{ id: 'pc.ram', length }] }));
  await using handle = await open(ram, 'w+');
  const piece = Buffer.allocUnsafe(16 * 2 ** 20);
  for (let done = 0; done < length; done += piece.length) {
    randomFillSync(piece);
    await handle.write(piece, 0, piece.length, done);
  }
  await pack(left, { state, ram: { 'pc.ram': ram } });
  for (let page = 0; page < length / PAGE; page += CHANGED_EVERY) {
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, page * PAGE);
    await handle.write(Uint8Array.of(buffer.readUInt8() ^ 1), 0, 1, page * PAGE);
  }
  await pack(right, { state, ram: { 'pc.ram': ram } });
}

/** Returns the time of fio's reads, as fio reports it. */
async function fio(files: readonly string[]): Promise<number> {
  const { stdout } = await run('fio', [
    '--name=read',
    '--rw=read',
    '--readonly',
    '--ioengine=io_uring',
    '--direct=1',
    '--bs=1M',
    '--iodepth=16',
    `--filename=${files.join(':')}`,
    '--file_service_type=sequential',
    // The pages start at 1 MiB.
    '--offset=1M',
    `--filesize=${mib + 1}M`,
    `--size=${mib * files.length}M`,
    '--output-format=json',
  ]);
  const report: { readonly jobs: readonly { readonly read: Record<'runtime' | 'io_bytes', number> }[] } =
    JSON.parse(stdout);
  const read = report.jobs[0]?.read;
  if (read?.io_bytes !== files.length * length) throw new Error(`fio read ${read?.io_bytes} bytes`);
  return read.runtime;
}
