/**
 * How long a running guest stands still while `save` saves it, by QEMU's own clock (from its event STOP to its event
 * RESUME), and how long the save takes in all: writer `engine` against writer `qemu`, each with the guard and without.
 * All of the guest's memory is random and lives in /dev/shm; writers take turns.
 *
 * node --import=@oxc-node/core/register bench/pause.ts [--dir DIR] [--rounds N] [--mib N]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startGuest, type TestGuest } from '../__test__/helpers/qemu.ts';
import { save, type Switch, type Writer } from '../ts/index.ts';
import { fillRandom } from './fill-random.ts';
import { alternate, medianOf } from './measure.ts';
import { printVerdicts } from './verdicts.ts';

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: tmpdir() },
    rounds: { type: 'string', default: '5' },
    mib: { type: 'string', default: '2048' },
  },
});
const mib = Number(values.mib);

interface Way {
  readonly writer: Writer;
  readonly guard: Switch;
}

const WAYS: readonly Way[] = (['engine', 'qemu'] as const).flatMap((writer) =>
  (['on', 'off'] as const).map((guard) => ({ writer, guard })),
);
const nameOf = ({ writer, guard }: Way): string => `${writer}, guard ${guard}`;

interface Times {
  readonly pause: number;
  readonly total: number;
}

const disk = await mkdtemp(join(values.dir, 'mapped-ram-bench-'));
const memory = await mkdtemp('/dev/shm/mapped-ram-bench-');
const times = new Map<string, Times[]>();
try {
  await fillRandom(join(memory, 'm0.ram'), mib * 2 ** 20);
  await using guest = await startGuest({ memoryMiB: mib, backend: 'file', share: true, memPathDir: memory });
  await guest.waitForGenerations(3);
  await alternate(
    WAYS.map((way) => ({
      name: nameOf(way),
      run: async () => {
        const taken = await saveOnce(guest, way);
        times.set(nameOf(way), [...(times.get(nameOf(way)) ?? []), taken]);
        return taken.pause;
      },
    })),
    Number(values.rounds),
  );
} finally {
  await rm(disk, { recursive: true, force: true });
  await rm(memory, { recursive: true, force: true });
}

const medians = new Map(WAYS.map((way) => [nameOf(way), mediansOf(times.get(nameOf(way)) ?? [])]));
const columns = ['pause ms', 'min', 'max', 'total ms', 'min', 'max'];
console.log(`${'writer'.padEnd(18)}${columns.map((title) => title.padStart(10)).join('')}`);
for (const way of WAYS) {
  const taken = times.get(nameOf(way)) ?? [];
  const cells = [taken.map(({ pause }) => pause), taken.map(({ total }) => total)].flatMap((all) =>
    [medianOf(all), Math.min(...all), Math.max(...all)].map((time) => time.toFixed(0).padStart(10)),
  );
  console.log(`${nameOf(way).padEnd(18)}${cells.join('')}`);
}
const [engine, qemu] = [median('engine, guard on'), median('qemu, guard on')];
console.log(
  `the guard's part of a save by the engine: ${guardCost('engine')} ms, by QEMU: ${guardCost('qemu')} ms`,
);
printVerdicts([
  {
    claim: 'a save by the engine stops the guest for no longer than one by QEMU',
    figures: `${engine.pause.toFixed(0)} ms against ${qemu.pause.toFixed(0)} ms, ${(engine.pause / qemu.pause).toFixed(2)} ×`,
    holds: engine.pause <= qemu.pause,
  },
]);

async function saveOnce(guest: TestGuest, way: Way): Promise<Times> {
  const target = join(disk, 'snapshot');
  await rm(target, { force: true });
  const events = guest.qmp.events(['STOP', 'RESUME']);
  try {
    const { elapsedMs, warnings } = await save(guest.qmp, target, way);
    if (warnings.length > 0) throw new Error(warnings.join());
    const [stop, resume] = [await events.next(), await events.next()];
    if (stop.value?.event !== 'STOP' || resume.value?.event !== 'RESUME') {
      throw new Error(`unexpected events: ${stop.value?.event}, ${resume.value?.event}`);
    }
    return { pause: resume.value.timestampMs - stop.value.timestampMs, total: elapsedMs };
  } finally {
    await events.return();
  }
}

function mediansOf(taken: readonly Times[]): Times {
  return {
    pause: medianOf(taken.map(({ pause }) => pause)),
    total: medianOf(taken.map(({ total }) => total)),
  };
}

function median(name: string): Times {
  return medians.get(name) ?? { pause: NaN, total: NaN };
}

/** What starting it, and waiting until it has ended, adds. */
function guardCost(writer: Writer): string {
  return (median(`${writer}, guard on`).total - median(`${writer}, guard off`).total).toFixed(0);
}
