import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';

import test, { type ExecutionContext } from 'ava';

import { convert, extract, MappedRamError, planSave, save, unpack } from '../../ts/index.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { syntheticSnapshot } from '../restore/synthetic-snapshot.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { type Way, WAYS } from '../save/writers.ts';
import { BIN } from '../cli/run-cli.ts';

/** Runs a command that only root may; false where it fails, which stderr then says. */
function did(command: string, ...args: readonly string[]): boolean {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return true;
  writeSync(2, `\n*** NOT TRIED: ${command} ${args.join(' ')}: ${error?.message ?? stderr.trim()} ***\n`);
  return false;
}

/** A user without rights. */
const NOBODY = 65_534;

interface Obstacle {
  readonly title: string;
  readonly cause: string;
  readonly set: (path: string, directory: string) => Promise<boolean> | boolean;
  readonly unset: (path: string, directory: string) => void;
}

const OBSTACLES: readonly Obstacle[] = [
  {
    title: 'a mount point',
    cause: 'EBUSY',
    set: (path) => did('mount', '--bind', path, path),
    unset: (path) => did('umount', path),
  },
  ...(['i', 'a'] as const).flatMap((flag): readonly Obstacle[] => [
    {
      title: `a file with +${flag}`,
      cause: 'EPERM',
      set: (path) => did('chattr', `+${flag}`, path),
      unset: (path) => did('chattr', `-${flag}`, path),
    },
    {
      title: `a directory with +${flag}`,
      cause: 'EPERM',
      set: (_, directory) => did('chattr', `+${flag}`, directory),
      unset: (_, directory) => did('chattr', `-${flag}`, directory),
    },
  ]),
  {
    title: 'a seal with +i',
    cause: 'EPERM',
    set: async (path) => {
      await writeFile(`${path}.seal`, 'MRAMSEAL');
      return did('chattr', '+i', `${path}.seal`);
    },
    unset: (path) => did('chattr', '-i', `${path}.seal`),
  },
];

async function assertRefused(
  t: ExecutionContext,
  qmp: QmpClient,
  path: string,
  cause: string,
  options: Way['options'] = {},
): Promise<void> {
  const stops = qmp.events('STOP');
  for (const act of [planSave, save]) {
    const error = await t.throwsAsync(act(qmp, path, { overwrite: true, ...options }), {
      instanceOf: MappedRamError,
    });
    t.like(error, { code: 'ERR_MAPPED_RAM_IO', cause: { code: cause } }, error?.message);
  }
  await stops.return();
  t.deepEqual(await stops.next(), { done: true, value: undefined });
}

for (const { way, setup, options } of WAYS) {
  qemuTest(`what keeps a file from being replaced is told by the plan: ${way}`, async (t) => {
    await using guest = await startGuest({ ...setup, memoryMiB: 64 });
    for (const { title, cause, set, unset } of OBSTACLES) {
      await using dir = await temporaryDirectory();
      await mkdir(dir.file('in'));
      const path = dir.file('in/snapshot');
      await writeFile(path, 'old');
      if (!(await set(path, dir.file('in')))) continue;
      try {
        t.log(title);
        const names = await readdir(dir.file('in'));
        // A writer that was asked for is refused by a rule, before anybody looks at the name.
        await assertRefused(t, guest.qmp, path, cause, way === 'qemu' ? options : {});
        t.deepEqual(await readdir(dir.file('in')), names);
      } finally {
        unset(path, dir.file('in'));
      }
    }
  });
}

qemuTest("somebody else's file in a sticky directory is told by the plan", async (t) => {
  if (process.geteuid?.() !== 0) return t.log('NOT TRIED: it takes root');
  await using guest = await startGuest({ memoryMiB: 64 });
  await using dir = await temporaryDirectory();
  await chmod(dir.path, 0o1777);
  await writeFile(dir.file('theirs'), 'theirs');
  process.seteuid?.(NOBODY);
  try {
    await assertRefused(t, guest.qmp, dir.file('theirs'), 'EPERM');
    await planSave(guest.qmp, dir.file('free'));
  } finally {
    process.seteuid?.(0);
  }
  t.deepEqual(await readdir(dir.path), ['theirs']);
});

qemuTest('a limit on the length of files is told by the plan', async (t) => {
  await using dir = await temporaryDirectory();
  const server = dir.file('qmp');
  await using guest = await startGuest({
    memoryMiB: 64,
    extraArgs: ['-qmp', `unix:${server},server=on,wait=off`],
  });
  const command = [process.execPath, BIN, 'save', server, dir.file('snapshot'), '--dry-run'];
  const { status, stderr } = spawnSync('sh', ['-c', 'ulimit -f 1000 && exec "$@"', 'sh', ...command], {
    encoding: 'utf8',
  });
  t.is(status, 1);
  t.regex(stderr, /this process may not write such long files \(ulimit -f\)/);
  // QEMU would be killed by its first page behind the limit.
  if (!did('prlimit', `--pid=${guest.qemu.pid}`, '--fsize=1000000')) return;
  await t.throwsAsync(planSave(guest.qmp, dir.file('snapshot'), { writer: 'qemu' }), {
    message: /process \d+ may not write such/,
  });
  // And by its device state, which it writes for the engine.
  await t.throwsAsync(planSave(guest.qmp, dir.file('snapshot'), { writer: 'engine' }), {
    code: 'ERR_MAPPED_RAM_IO',
    message: /QEMU \(process \d+\) may not write files that are long enough for its device state/,
  });
});

test('the commands that write files refuse before they work', async (t) => {
  await using dir = await temporaryDirectory();
  await using stream = await syntheticSnapshot(dir, [{ id: 'm0', pages: 16 }]);
  await writeFile(dir.file('fixed'), 'old');
  if (!did('chattr', '+i', dir.file('fixed'))) return;
  try {
    const refusal = { code: 'ERR_MAPPED_RAM_IO', message: /an immutable file cannot be replaced/ };
    let isWorking = false;
    const options = { overwrite: true, onProgress: () => (isWorking = true) };
    await t.throwsAsync(convert(stream, dir.file('fixed'), options), refusal);
    await t.throwsAsync(convert(stream, dir.file('fixed'), { ...options, to: 'stream' }), refusal);
    await t.throwsAsync(unpack(stream, { ...options, ram: { m0: dir.file('fixed') } }), refusal);
    await t.throwsAsync(
      extract(stream, dir.file('fixed'), { ...options, format: 'raw', block: 'm0' }),
      refusal,
    );
    t.false(isWorking);
    t.is(await readFile(dir.file('fixed'), 'utf8'), 'old');
  } finally {
    did('chattr', '-i', dir.file('fixed'));
  }
});

test('a descriptor that cannot take a snapshot is refused before anything is written', async (t) => {
  await using dir = await temporaryDirectory();
  await using stream = await syntheticSnapshot(dir, [{ id: 'm0', pages: 16 }]);
  await using reading = await open(await empty(dir.file('result')), 'r');
  await t.throwsAsync(convert(stream, { fd: reading.fd }), { message: /the descriptor does not write/ });
  await using device = await open('/dev/null', 'r+');
  await t.throwsAsync(convert(stream, { fd: device.fd }), { message: /found a character device/ });
});

async function empty(path: string): Promise<string> {
  await writeFile(path, '');
  return path;
}
