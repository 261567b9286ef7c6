/**
 * How long it takes from the command `migrate-incoming` to the guest running, and from the call to `restore` to the guest
 * running: instant against eager (QEMU's own reading, mapped-ram, multifd where it helps), cold and warm.
 *
 * The guests have --data MiB of random memory, or three quarters of what they have when that is less; the rest was never
 * touched, so the snapshots are sparse. "Cold" drops the page cache of the whole machine before every run, which takes
 * root; QEMU's binary and libraries are read back before the clock starts, since a host that restores guests has them in
 * its cache.
 *
 * node --import=@oxc-node/core/register bench/restore.ts [--dir DIR] [--rounds N] [--data MIB] [--sizes 256,2048,8192]
 */
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { QEMU_BINARY } from '../__test__/helpers/qemu-binary.ts';
import { restoreGuest, saveGuest } from '../__test__/restore/restored-guest.ts';
import type { RestoreMode } from '../ts/qemu/plan.ts';
import { readPieces } from '../ts/snapshot/read-pieces.ts';
import { Snapshot } from '../ts/snapshot/snapshot.ts';
import { plainPages, stateBatches } from '../ts/snapshot/state-stream.ts';
import { alternate, medianOf } from './measure.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: '512' },
    sizes: { type: 'string', default: '256,2048,8192' },
  },
});
const MIB = 2 ** 20;
const MODES: readonly RestoreMode[] = ['instant', 'eager'];
const CACHES = ['cold', 'warm'] as const;

const rows: string[] = [];
for (const size of values.sizes.split(',').map(Number)) rows.push(...(await measure(size)));
const columns = ['guest', 'data', 'mode', 'cache', 'load ms', 'min', 'max', 'total ms', '× eager'];
console.log(columns.map((title) => title.padStart(10)).join(''));
for (const row of rows) console.log(row);

async function measure(memoryMiB: number): Promise<readonly string[]> {
  const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
  const data = Math.min(Number(values.data), Math.floor((memoryMiB - 128) * 0.75));
  try {
    const snapshot = join(disk, 'guest.snapshot');
    await save(snapshot, memoryMiB, data);
    const totals = new Map<string, number[]>();
    const contenders = CACHES.flatMap((cache) =>
      MODES.map((mode) => ({ name: `${memoryMiB} MiB, ${mode}, ${cache}`, mode, cache })),
    );
    const measurements = await alternate(
      contenders.map(({ name, mode, cache }) => ({
        name,
        run: async () => {
          await prepare(snapshot, cache);
          await using guest = await restoreGuest(snapshot, { memoryMiB }, { mode, then: 'run' });
          const { loadMs, totalMs } = guest.restored.times;
          totals.set(name, [...(totals.get(name) ?? []), totalMs]);
          return loadMs;
        },
      })),
      Number(values.rounds),
    );
    return contenders.map(({ name, mode, cache }, index) => {
      const { median, milliseconds } = measurements[index] ?? { median: NaN, milliseconds: [] };
      const eager = contenders.findIndex((other) => other.mode === 'eager' && other.cache === cache);
      const gain = (measurements[eager]?.median ?? NaN) / median;
      const cells = [
        `${memoryMiB} MiB`,
        `${data} MiB`,
        mode,
        cache,
        ...[median, Math.min(...milliseconds), Math.max(...milliseconds)].map((time) => time.toFixed(1)),
        medianOf(totals.get(name) ?? []).toFixed(0),
        gain.toFixed(1),
      ];
      return cells.map((cell) => cell.padStart(10)).join('');
    });
  } finally {
    await rm(disk, { recursive: true, force: true });
  }
}

/** A stopped guest with this much random memory above what it works on itself. */
async function save(snapshot: string, memoryMiB: number, data: number): Promise<void> {
  const memory = await mkdtemp('/dev/shm/mapped-ram-bench-');
  try {
    await using file = await open(join(memory, 'pc.ram'), 'w');
    await file.truncate(memoryMiB * MIB);
    const piece = Buffer.allocUnsafe(MIB);
    for (let done = 0; done < data; done += 1) {
      await file.write(randomFillSync(piece), 0, MIB, (96 + done) * MIB);
    }
    const object = `memory-backend-file,id=pc.ram,size=${memoryMiB}M,share=on,mem-path=${join(memory, 'pc.ram')}`;
    const memoryArgs = ['-m', `${memoryMiB}M`, '-object', object, '-machine', 'memory-backend=pc.ram'];
    await saveGuest({ memoryMiB, memoryArgs, memoryBlocks: ['pc.ram'] }, snapshot);
  } finally {
    await rm(memory, { recursive: true, force: true });
  }
}

async function prepare(snapshot: string, cache: (typeof CACHES)[number]): Promise<void> {
  await run('sync');
  if (cache === 'cold') await writeFile('/proc/sys/vm/drop_caches', '1');
  else await readSetPages(snapshot);
  await run(QEMU_BINARY, ['-machine', 'q35', '-display', 'none', '-accel', 'tcg', '-version']);
}

/** Not the whole file: reading its holes would fill the page cache with zeros. */
async function readSetPages(path: string): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  const pages = plainPages(snapshot, snapshot.completeRam().blocks, false);
  for await (const batch of stateBatches(snapshot, pages)) {
    for await (const _ of readPieces(batch, snapshot.reader));
  }
}
