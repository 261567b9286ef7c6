/**
 * Measures the pause of a running guest while `save` saves it, by QEMU's own clock (from its event STOP to its event
 * RESUME), and the time of the whole save: writer `engine` against writer `qemu`, each with the guard and without. All
 * of the guest's memory is random and lives in /dev/shm; writers take turns. The guard runs from the sources here, and
 * starts with their loader; the built one starts in about a third of the time.
 *
 * node --import=@oxc-node/core/register bench/pause.ts [--dir DIR] [--rounds N] [--mib N]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startGuest, type TestGuest } from '../__test__/support/qemu.ts';
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

const WRITERS = ['engine', 'qemu'] as const;
const GUARDS = ['on', 'off'] as const;
const WAYS: readonly Way[] = WRITERS.flatMap((writer) => GUARDS.map((guard) => ({ writer, guard })));
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

const columns = ['pause ms', 'min', 'max', 'total ms', 'min', 'max'];
console.log(`${'writer'.padEnd(18)}${columns.map((title) => title.padStart(10)).join('')}`);
for (const way of WAYS) {
  const row = (['pause', 'total'] as const).flatMap((what) => {
    const taken = all(way.writer, way.guard, what);
    return [medianOf(taken), Math.min(...taken), Math.max(...taken)];
  });
  console.log(`${nameOf(way).padEnd(18)}${row.map((time) => time.toFixed(0).padStart(10)).join('')}`);
}
for (const writer of WRITERS) {
  const cost = medianOf(all(writer, 'on', 'total')) - medianOf(all(writer, 'off', 'total'));
  console.log(`${writer}: the guard takes ${cost.toFixed(0)} ms of the whole`);
}
printVerdicts(
  GUARDS.map((guard) => {
    const [engine, qemu] = [medianOf(all('engine', guard, 'pause')), medianOf(all('qemu', guard, 'pause'))];
    return {
      claim: `a save by the engine stops the guest for no longer than one by QEMU, guard ${guard}`,
      figures: `${engine.toFixed(0)} ms against ${qemu.toFixed(0)} ms, ${(engine / qemu).toFixed(2)} ×`,
      holds: engine <= qemu,
    };
  }),
);

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

/** Returns the measured times in milliseconds. */
function all(writer: Writer, guard: Switch, what: keyof Times): readonly number[] {
  return (times.get(nameOf({ writer, guard })) ?? []).map((taken) => taken[what]);
}
