/**
 * Measures two times of a restore: from the command `migrate-incoming` to the guest running, and from the call to
 * `restore` to the guest running. The contenders are instant and eager (QEMU's own reading, mapped-ram, multifd where
 * it helps), cold and warm. All sizes, modes and caches take turns. Verdicts on the medians of the cold loads follow:
 * instant takes less than 50 ms, it takes the same within a third for all sizes, and a twentieth of eager's time or
 * less at the size in the middle. Instant alone allows many rounds.
 *
 * The guests have --data MiB of random memory, or three quarters of their memory when that is less. The rest was never
 * touched, so the snapshots are sparse. "Cold" drops the page cache of the whole machine before every run, which takes
 * root. Another small guest is restored after that: a host that does this has QEMU and its libraries in its cache.
 *
 * node --import=@oxc-node/core/register bench/restore.ts [--dir DIR] [--rounds N] [--data MIB] [--sizes 256,2048,8192]
 *   [--modes instant,eager]
 */
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { restoreGuest, saveGuest } from '../__test__/support/restored-guest.ts';
import type { RestoreMode } from '../ts/restore/modes/modes.ts';
import { readPieces } from '../ts/io/read-pieces.ts';
import { Snapshot } from '../ts/snapshot/snapshot.ts';
import { plainPages, stateBatches } from '../ts/pack/device-state.ts';
import { alternate, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: '512' },
    sizes: { type: 'string', default: '256,2048,8192' },
    modes: { type: 'string', default: 'instant,eager' },
  },
});
const MIB = 2 ** 20;
const MODES = (['instant', 'eager'] as const).filter((mode) => values.modes.split(',').includes(mode));
const CACHES = ['cold', 'warm'] as const;
const MOST_MS = 50;
const MOST_SPREAD = 4 / 3;
const LEAST_GAIN = 20;

const sizes = values.sizes.split(',').map(Number);
const dataOf = (memoryMiB: number): number =>
  Math.min(Number(values.data), Math.floor((memoryMiB - 128) * 0.75));

interface Times {
  readonly load: number;
  readonly total: number;
}

const cells = sizes.flatMap((memoryMiB) =>
  CACHES.flatMap((cache) =>
    MODES.map((mode) => ({ memoryMiB, cache, mode, name: nameOf(memoryMiB, mode, cache) })),
  ),
);
const times = new Map(cells.map(({ name }) => [name, [] as Times[]]));
const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const other = join(disk, 'other.snapshot');
try {
  const snapshotOf = (memoryMiB: number): string => join(disk, `${memoryMiB}.snapshot`);
  await saveGuest({}, other);
  for (const memoryMiB of sizes) await save(snapshotOf(memoryMiB), memoryMiB, dataOf(memoryMiB));
  await alternate(
    cells.map(({ memoryMiB, cache, mode, name }) => ({
      name,
      run: async () => {
        const snapshot = snapshotOf(memoryMiB);
        await prepare(snapshot, cache);
        await using guest = await restoreGuest(snapshot, { memoryMiB }, { mode, after: 'cont' });
        const { loadMs, totalMs } = guest.restored.times;
        times.get(name)?.push({ load: loadMs, total: totalMs });
        return loadMs;
      },
    })),
    Number(values.rounds),
  );
} finally {
  await rm(disk, { recursive: true, force: true });
}

const columns = ['guest', 'data', 'mode', 'cache', 'load ms', 'min', 'max', 'total ms', '× eager'];
console.log(columns.map((title) => title.padStart(10)).join(''));
for (const { memoryMiB, cache, mode, name } of cells) {
  const loads = (times.get(name) ?? []).map(({ load }) => load);
  const row = [
    `${memoryMiB} MiB`,
    `${dataOf(memoryMiB)} MiB`,
    mode,
    cache,
    ...[medianOf(loads), Math.min(...loads), Math.max(...loads)].map((time) => time.toFixed(1)),
    medianOf((times.get(name) ?? []).map(({ total }) => total)).toFixed(0),
    MODES.includes('eager') ? (medianLoad(memoryMiB, 'eager', cache) / medianOf(loads)).toFixed(1) : '–',
  ];
  console.log(row.map((cell) => cell.padStart(10)).join(''));
}
const instant = sizes.map((memoryMiB) => medianLoad(memoryMiB, 'instant', 'cold'));
const [fastest, slowest] = [Math.min(...instant), Math.max(...instant)];
const middle = sizes[Math.floor(sizes.length / 2)] ?? NaN;
const gain = medianLoad(middle, 'eager', 'cold') / medianLoad(middle, 'instant', 'cold');
printVerdicts([
  {
    claim: `instant, cold, runs in less than ${MOST_MS} ms`,
    figures: sizes.map((size, index) => `${size} MiB ${instant[index]?.toFixed(1)} ms`).join(', '),
    holds: slowest < MOST_MS,
  },
  {
    claim: 'instant, cold, takes the same within a third whatever the size',
    figures: `slowest / fastest ${(slowest / fastest).toFixed(2)}`,
    holds: slowest / fastest <= MOST_SPREAD,
  },
  ...(!MODES.includes('eager')
    ? []
    : [
        {
          claim: `instant, cold, at ${middle} MiB is at least ${LEAST_GAIN} times as fast as eager`,
          figures: `${gain.toFixed(1)} times`,
          holds: gain >= LEAST_GAIN,
        },
      ]),
]);

function nameOf(memoryMiB: number, mode: string, cache: string): string {
  return `${memoryMiB} MiB, ${mode}, ${cache}`;
}

/** Returns the median in milliseconds. */
function medianLoad(memoryMiB: number, mode: RestoreMode, cache: (typeof CACHES)[number]): number {
  return medianOf((times.get(nameOf(memoryMiB, mode, cache)) ?? []).map((taken) => taken.load));
}

/** Saves a stopped guest with this much random memory above the part that it works on itself. */
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
  await using _ = await restoreGuest(other, {}, { mode: 'instant' });
}

/** Reads the set pages only: reading the file's holes would fill the page cache with zeros. */
async function readSetPages(path: string): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  const pages = plainPages(snapshot, snapshot.completeRam().blocks, false);
  for await (const batch of stateBatches(snapshot, pages)) {
    for await (const _ of readPieces(batch, snapshot.reader));
  }
}
