// Measures how the cost of a save and of a load grows: against the size of the memory, the channels, and the share of
// zero pages. `npm run --silent measure:scaling -- OPTIONS > scaling.json` prints a report, from which
// scripts/draw-charts.mjs draws; `--tables scaling.json` prints its tables for docs/performance.md.
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { alternate } from '../bench/measure.ts';
import { scalingTables } from '../bench/scaling-tables.ts';
import { machineFacts } from '../ts/bench/machine.ts';
import { median, spread } from '../ts/bench/summary.ts';
import { dropPageCache } from '../ts/engine/page-cache.ts';
import { syntheticState } from '../ts/guest/synthetic-state.ts';
import { parseSize } from '../ts/cli/options/parse-size.ts';
import { pack, unpack } from '../ts/index.ts';

const BLOCK = 'pc.ram';
/** Memory is made of stretches of so many bytes, each of which begins with data and ends with its share of zeros. */
const STRETCH = 4 * 2 ** 20;
const PAGE = 4096;
/** What the tables of a filesystem, and everything beside the pages, need at the most. */
const BESIDE = 1.05;

const { values } = parseArgs({
  options: {
    axis: { type: 'string', default: 'size,channels,zeros' },
    size: { type: 'string', default: '2GiB' },
    sizes: { type: 'string', default: '256MiB,512MiB,1GiB,2GiB,4GiB,8GiB' },
    channels: { type: 'string', default: '1,2,4,8,16' },
    zeros: { type: 'string', default: '0,25,50,75,90,100' },
    rounds: { type: 'string', default: '5' },
    dir: { type: 'string', default: tmpdir() },
    'memory-dir': { type: 'string', default: '/dev/shm' },
    tables: { type: 'string' },
  },
});
const stop = new AbortController();
const { signal } = stop;
const random = randomFillSync(Buffer.allocUnsafe(STRETCH));
const zeros = Buffer.alloc(STRETCH);

try {
  if (values.tables === undefined) await main();
  else process.stdout.write(scalingTables(JSON.parse(await readFile(values.tables, 'utf8'))));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

async function main() {
  const rounds = wholeNumber('rounds', values.rounds, 1, 1000);
  const axes = listOf(values.axis).map((axis) => [axis, pointsOf(axis)]);
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort(new Error(name)));
  const [startedAt, began] = [new Date().toISOString(), performance.now()];
  const machine = await machineFacts(values.dir, undefined, signal);
  const disk = await mkdtemp(join(values.dir, 'mapped-ram-scaling-'));
  const memory = await mkdtemp(join(values['memory-dir'], 'mapped-ram-scaling-'));
  try {
    const series = [];
    for (const [axis, points] of axes) series.push(...(await measure(axis, points, rounds, disk, memory)));
    const elapsedMs = performance.now() - began;
    const report = { kind: 'scaling', schemaVersion: 1, startedAt, elapsedMs, machine, rounds, series };
    process.stdout.write(`${JSON.stringify(report, undefined, 1)}\n`);
  } finally {
    await rm(disk, { recursive: true, force: true });
    await rm(memory, { recursive: true, force: true });
  }
}

/** The places of an axis, each with its memory and its channels. */
function pointsOf(axis) {
  const size = bytesOf('size', values.size);
  if (axis === 'size') {
    return listOf(values.sizes).map((text) => {
      const at = bytesOf('sizes', text);
      return { at, size: at, zeroShare: 0 };
    });
  }
  if (axis === 'channels') {
    return listOf(values.channels).map((text) => {
      const at = wholeNumber('channels', text, 1, 64);
      return { at, size, zeroShare: 0, channels: at };
    });
  }
  if (axis === 'zeros') {
    return listOf(values.zeros).map((text) => {
      const at = wholeNumber('zeros', text, 0, 100);
      return { at, size, zeroShare: at / 100 };
    });
  }
  throw new Error(`--axis: expected size, channels or zeros, found ${axis}`);
}

function listOf(text) {
  return [...new Set(text.split(','))];
}

function bytesOf(name, text) {
  const size = parseSize(`--${name}`, text);
  if (size >= STRETCH && size % STRETCH === 0) return size;
  throw new Error(`--${name}: expected multiples of 4 MiB, found ${text}`);
}

function wholeNumber(name, text, least, most) {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(
    `--${name}: expected whole numbers from ${least} to ${most}, found ${JSON.stringify(text)}`,
  );
}

/** Measures saves and loads at all places of an axis in turns. The memory of each save is made before it, untimed. */
async function measure(axis, points, rounds, disk, memory) {
  await assertRoom(
    disk,
    points.reduce((sum, { size }) => sum + size, Math.max(...points.map(({ size }) => size))),
  );
  await assertRoom(memory, Math.max(...points.map(({ size }) => size)));
  const [ram, target] = [join(memory, 'guest.ram'), join(disk, 'new.mr')];
  const [runs, kept] = [new Map(), [target]];
  const contenders = [];
  const add = (name, point, prepare, work) => {
    const figures = [];
    runs.set(name, [...(runs.get(name) ?? []), { point, figures }]);
    const run = async () => {
      signal.throwIfAborted();
      await prepare();
      figures.push(await timed(work));
      await rm(ram, { force: true });
      await rm(target, { force: true });
      return figures.at(-1).milliseconds;
    };
    contenders.push({ name: `${axis} ${point.at}, ${name}`, run });
  };
  for (const point of points) {
    const { at, size, channels } = point;
    const [state, snapshot] = ['state', 'mr'].map((end) => join(disk, `${at}.${end}`));
    await writeFile(state, syntheticState(BLOCK, size));
    const save = (path) => pack(path, { state, ram: { [BLOCK]: ram }, channels, signal });
    const ways = axis === 'zeros' ? ['save, zeros in holes', 'save, zeros in pages'] : ['save'];
    // The snapshot for the loads is made by a save that warms up.
    await makeMemory(ram, point, 'holes');
    await save(snapshot);
    await rm(ram);
    kept.push(state, snapshot);
    for (const way of ways) {
      const zeroPages = way.endsWith('pages') ? 'pages' : 'holes';
      add(
        way,
        point,
        () => makeMemory(ram, point, zeroPages),
        () => save(target),
      );
    }
    add(
      'load',
      point,
      () => dropPageCache(snapshot),
      () => unpack(snapshot, { ram: { [BLOCK]: ram }, channels, signal }),
    );
  }
  await alternate(contenders, rounds);
  await Promise.all(kept.map((path) => rm(path, { force: true })));
  return [...runs].map(([name, all]) => ({
    axis,
    name,
    points: all.map(({ point: { at, size }, figures }) => ({
      at,
      size,
      milliseconds: spread(figures.map(({ milliseconds }) => milliseconds)),
      cpuMs: median(figures.map(({ cpuMs }) => cpuMs)),
      requests: median(figures.map(({ requests }) => requests)),
      channels: figures[0].channels,
      dataBytes: figures[0].dataBytes,
    })),
  }));
}

async function timed(work) {
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  const { transfer } = await work();
  const milliseconds = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const { requests, channels, dataBytes } = transfer;
  return { milliseconds, cpuMs: (user + system) / 1000, requests, channels, dataBytes };
}

/** Makes the guest's memory. Its zero pages are holes, as a guest leaves them that never touched them, or pages. */
async function makeMemory(path, { size, zeroShare }, zeroPages) {
  const data = STRETCH - Math.round((STRETCH / PAGE) * zeroShare) * PAGE;
  const handle = await open(path, 'wx');
  try {
    await handle.truncate(size);
    for (let start = 0; start < size; start += STRETCH) {
      signal.throwIfAborted();
      if (data > 0) await handle.write(random, 0, data, start);
      if (zeroPages === 'pages' && data < STRETCH) await handle.write(zeros, 0, STRETCH - data, start + data);
    }
  } finally {
    await handle.close();
  }
}

async function assertRoom(directory, needed) {
  const { bavail, bsize } = await statfs(directory);
  const [free, most] = [bavail * bsize, needed * BESIDE];
  if (free < most)
    throw new Error(`${directory} has ${free} bytes free, and this needs up to ${Math.ceil(most)}`);
}
