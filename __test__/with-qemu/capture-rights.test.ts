import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import type { ExecutionContext } from 'ava';

import { save, type SaveOptions } from '../../ts/index.ts';
import { assertMemory, FREE, poke, scattered, SETUP } from '../save/captured-guest.ts';
import type { RightsOutcome } from '../save/rights-worker.ts';
import type { SaveOrder } from '../save/save-worker.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const WORKER = fileURLToPath(new URL('../save/rights-worker.ts', import.meta.url));
const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] as const;
/** Root, as it is in a container. */
const WITHOUT_PTRACE = ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'] as const;

/** The words for what hinders somebody: which question fails first depends on the kernel. */
const NO_RIGHT =
  /QEMU's process is not seen from here|memory map of QEMU's process|may not look into QEMU's memory/;

/** Lets a process with other rights save. */
async function saveAs(who: readonly string[], order: SaveOrder): Promise<RightsOutcome> {
  const [program, ...args] = [...who, process.execPath, '--import=@oxc-node/core/register', WORKER];
  const worker = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exited = once(worker, 'exit');
  const answer = once(worker, 'message');
  worker.send(order);
  const ended = await Promise.race([answer, exited]);
  await exited;
  const [outcome] = ended;
  if (typeof outcome !== 'object' || outcome === null)
    throw new Error(`the worker ended: ${String(outcome)}`);
  return outcome;
}

/** A directory that everybody may write into, with the socket of a second monitor. */
async function openPlace(): Promise<{ readonly dir: TemporaryDirectory; readonly server: string }> {
  const dir = await temporaryDirectory();
  await chmod(dir.path, 0o777);
  return { dir, server: dir.file('qmp.sock') };
}

/** Asserts that one with such rights captures nothing, is told why, and that QEMU writes where that is as good. */
async function assertNoRights(
  t: ExecutionContext,
  who: readonly string[],
  guest: TestGuest,
  place: { readonly dir: TemporaryDirectory; readonly server: string },
  why: RegExp,
): Promise<void> {
  const { dir, server } = place;
  const [target, byQemu] = [dir.file('refused.mr'), dir.file('by-qemu.mr')];
  const stops = guest.qmp.events(['STOP', 'RESUME']);
  for (const options of [{ base: 'auto' }, { writer: 'engine' }] as const) {
    const refused = await saveAs(who, { server, target, options });
    t.is(refused.code, 'ERR_MAPPED_RAM_UNSUPPORTED', JSON.stringify(refused));
    t.regex(refused.message ?? '', why);
  }
  await stops.return();
  t.deepEqual(await stops.next(), { done: true, value: undefined }, 'the guest was stopped');
  // A guest that stands still already: one that is to be stopped would be migrated, for the sake of its disks.
  await guest.stop();
  const saved = await saveAs(who, { server, target: byQemu, options: {} });
  t.is(saved.writer, 'qemu', JSON.stringify(saved));
  t.regex(saved.writerWhy ?? '', why);
  await assertMemory(t, guest, byQemu, 'by QEMU');
  await rm(byQemu);
}

const isRoot = process.geteuid?.() === 0;

qemuTest('who may not look into QEMU is told so, and QEMU writes', async (t) => {
  if (!isRoot) return t.log('NOT TRIED: it takes root');
  const place = await openPlace();
  await using dir = place.dir;
  const extraArgs = ['-qmp', `unix:${place.server},server=on,wait=off`];
  await using guest = await startGuest({ ...SETUP, extraArgs });
  await chmod(place.server, 0o777);
  await guest.waitForGenerations(1);
  await assertNoRights(t, AS_NOBODY, guest, place, NO_RIGHT);
  await guest.cont();
  await assertNoRights(t, WITHOUT_PTRACE, guest, place, NO_RIGHT);
  t.truthy(dir);
  // QEMU's pmemsave is no way round: it reads addresses, and there are blocks that have none.
  const monitor = (line: string): Promise<string> =>
    guest.qmp.execute('human-monitor-command', { 'command-line': line });
  t.regex(await monitor('info ramblock'), /\/rom@etc\/acpi\/tables/);
  t.notRegex(await monitor('info mtree -f'), /\/rom@etc\/acpi\/tables/);
});

qemuTest('a QEMU that gave its rights up is closed to its own user', async (t) => {
  if (!isRoot) return t.log('NOT TRIED: it takes root');
  const place = await openPlace();
  await using dir = place.dir;
  const extraArgs = ['-qmp', `unix:${place.server},server=on,wait=off`, '-run-with', 'user=nobody'];
  await using guest = await startGuest({ ...SETUP, extraArgs });
  await chmod(place.server, 0o777);
  // QEMU opens its disk again when it has saved.
  await chmod(guest.directory, 0o777);
  await chmod(`${guest.directory}/boot.img`, 0o666);
  await guest.waitForGenerations(1);
  await assertNoRights(t, AS_NOBODY, guest, place, NO_RIGHT);
  // Root still may.
  await guest.cont();
  const saved = await save(guest.qmp, dir.file('by-root.mr'), { after: 'stop', writer: 'engine' });
  t.is(saved.writer, 'engine', saved.writerWhy);
  await assertMemory(t, guest, dir.file('by-root.mr'), 'by root');
});

qemuTest('a user without rights captures a QEMU of their own, and its clone', async (t) => {
  if (!isRoot) return t.log('NOT TRIED: it takes root');
  const place = await openPlace();
  await using dir = place.dir;
  const { server } = place;
  const base = dir.file('base.mr');
  {
    await using guest = await startGuest(SETUP);
    await guest.waitForGenerations(1);
    await guest.stop();
    await poke(guest, scattered(FREE.start, 8 * MIB, 1, 1));
    await guest.cont();
    await save(guest.qmp, base, { writer: 'engine' });
    await chmod(base, 0o644);
  }
  const extraArgs = ['-qmp', `unix:${server},server=on,wait=off`];
  await using guest = await restoreGuest(base, { ...SETUP, extraArgs }, {}, AS_NOBODY);
  await guest.waitForGenerations(1);
  await poke(guest, scattered(FREE.start + 16 * MIB, 8 * MIB, 3, 2));
  const cases: readonly [string, SaveOptions, string][] = [
    ['delta', { base: 'auto' }, 'delta'],
    ['named', { base, form: 'delta', maxCopyMemory: 0 }, 'delta'],
    ['whole', { writer: 'engine' }, 'whole'],
  ];
  for (const [name, options, form] of cases) {
    await guest.cont();
    const target = dir.file(`${name}.mr`);
    const saved = await saveAs(AS_NOBODY, { server, target, options: { ...options, after: 'stop' } });
    t.like(saved, { writer: 'engine', form }, JSON.stringify(saved));
    await assertMemory(t, guest, target, name);
  }
  const before = await guest.checkMemory();
  t.true((await guest.assertAlive()).generation > before.generation);
});

qemuTest('memory that is shared in a file without a name is captured by its own user', async (t) => {
  if (!isRoot) return t.log('NOT TRIED: it takes root');
  const place = await openPlace();
  await using dir = place.dir;
  const { server } = place;
  const setup = {
    ...SETUP,
    memoryArgs: [
      '-m',
      '128M',
      '-object',
      'memory-backend-ram,id=m0,size=128M,share=on',
      '-machine',
      'memory-backend=m0',
    ],
    memoryBlocks: ['m0'],
  };
  const base = dir.file('base.mr');
  {
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    const saved = await save(guest.qmp, base, { after: 'stop', writer: 'engine' });
    t.is(saved.writer, 'engine', saved.writerWhy);
    await assertMemory(t, guest, base, 'by root');
    await chmod(base, 0o644);
  }
  const extraArgs = ['-qmp', `unix:${server},server=on,wait=off`];
  await using guest = await restoreGuest(base, { ...setup, extraArgs }, { mode: 'eager' }, AS_NOBODY);
  await guest.waitForGenerations(1);
  // QEMU 10.0 has such memory in a memfd, which its user can open.
  const target = dir.file('shared.mr');
  const saved = await saveAs(AS_NOBODY, { server, target, options: { after: 'stop', writer: 'engine' } });
  t.is(saved.writer, 'engine', JSON.stringify(saved));
  await assertMemory(t, guest, target, 'by its user');
});
