import { truncate, writeFile } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { planSave, save } from '../../ts/index.ts';
import { queryDiskUsers } from '../../ts/qemu/disk-users.ts';
import type { QmpArgument } from '../../ts/qmp/json.ts';
import { MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

type Command = readonly [name: string, args?: Readonly<Record<string, QmpArgument>>];

interface User {
  readonly title: string;
  readonly begin: (dir: TemporaryDirectory) => readonly Command[];
  /** The name in the words of the refusal; undefined when the save is to work. */
  readonly named?: RegExp;
}

const job = { 'job-id': 'j0', device: 'n0', speed: 1000 } as const;
const nbd = (dir: TemporaryDirectory): Command => [
  'nbd-server-start',
  { addr: { type: 'unix', data: { path: dir.file('nbd') } } },
];
const exported = (writable: boolean): Command => [
  'block-export-add',
  { type: 'nbd', id: 'e0', 'node-name': 'n0', writable },
];

const USERS: readonly User[] = [
  {
    title: 'a backup',
    begin: () => [['blockdev-backup', { ...job, target: 't0', sync: 'full' }]],
    named: /block job j0 \(backup\)/,
  },
  {
    title: 'a backup that is paused',
    begin: () => [
      ['blockdev-backup', { ...job, target: 't0', sync: 'full' }],
      ['job-pause', { id: 'j0' }],
    ],
    named: /block job j0 \(backup\)/,
  },
  {
    title: 'a commit',
    begin: () => [
      ['blockdev-snapshot', { node: 'n0', overlay: 'q0' }],
      ['block-commit', { ...job, device: 'q0' }],
    ],
    named: /block job j0 \(commit\)/,
  },
  { title: 'a mirror', begin: () => [['blockdev-mirror', { ...job, target: 't0', sync: 'full' }]] },
  {
    title: 'an export that may write',
    begin: (dir) => [nbd(dir), exported(true)],
    named: /export e0 \(nbd, of node n0\)/,
  },
  { title: 'an export that may only read', begin: (dir) => [nbd(dir), exported(false)] },
];

async function guestWithDisks(dir: TemporaryDirectory): Promise<TestGuest> {
  for (const name of ['disk', 'target']) {
    await writeFile(dir.file(name), '');
    await truncate(dir.file(name), 16 * MIB);
  }
  return startGuest({
    memoryMiB: 64,
    extraArgs: [
      ['-blockdev', `driver=file,filename=${dir.file('disk')},node-name=n0`],
      ['-blockdev', `driver=file,filename=${dir.file('target')},node-name=t0`],
      ['-device', 'virtio-blk-pci,drive=n0,share-rw=on'],
    ].flat(),
  });
}

/** Makes the empty overlay that a commit starts from. */
async function makeOverlay({ qmp }: TestGuest, dir: TemporaryDirectory): Promise<void> {
  await writeFile(dir.file('overlay'), '');
  await qmp.execute('blockdev-add', { driver: 'file', filename: dir.file('overlay'), 'node-name': 'f0' });
  const options = { driver: 'qcow2', file: 'f0', size: 16 * MIB };
  await qmp.execute('blockdev-create', { 'job-id': 'c0', options });
  for (;;) {
    const jobs = await qmp.execute('query-jobs');
    if (Array.isArray(jobs) && JSON.stringify(jobs).includes('concluded')) break;
  }
  await qmp.execute('job-dismiss', { id: 'c0' });
  await qmp.execute('blockdev-add', { driver: 'qcow2', file: 'f0', 'node-name': 'q0', backing: null });
}

async function assertNamed(
  t: ExecutionContext,
  { qmp }: TestGuest,
  path: string,
  named: RegExp,
): Promise<void> {
  const stops = qmp.events('STOP');
  for (const act of [planSave, save]) {
    const error = await t.throwsAsync(act(qmp, path, { writer: 'qemu' }), {
      code: 'ERR_MAPPED_RAM_BUSY',
      message: named,
    });
    t.like(error, { rule: { rule: 'disk-in-use', section: '7.1 17' } });
  }
  await stops.return();
  t.deepEqual(await stops.next(), { done: true, value: undefined });
}

for (const { title, begin, named } of USERS) {
  qemuTest(
    `${title} ${named === undefined ? 'does not hinder a save' : 'is named by the plan of a migration'}`,
    async (t) => {
      await using dir = await temporaryDirectory();
      await using guest = await guestWithDisks(dir);
      const commands = begin(dir);
      if (commands.some(([name]) => name === 'blockdev-snapshot')) await makeOverlay(guest, dir);
      for (const [name, args] of commands) await guest.qmp.execute(name, args);
      const others = await queryDiskUsers(guest.qmp, {});
      // Without a migration nothing on the disks hinders a save, nor is hindered by it.
      const taken = await save(guest.qmp, dir.file('taken'));
      t.like(taken, { writer: 'engine', plan: { stateOnly: { value: true } }, runState: 'running' });
      t.deepEqual(await queryDiskUsers(guest.qmp, {}), others);
      await guest.waitForGenerations(1);
      if (named !== undefined) return await assertNamed(t, guest, dir.file('snapshot'), named);
      const { verified } = await save(guest.qmp, dir.file('snapshot'), { writer: 'qemu' });
      t.true(verified);
      await guest.assertAlive();
    },
  );
}

qemuTest('an export that comes during a save is named when QEMU fails', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await guestWithDisks(dir);
  await guest.qmp.execute(...nbd(dir));
  let adding: Promise<unknown> | undefined;
  const onProgress = (): void => {
    adding ??= guest.qmp.execute(...exported(true));
  };
  const error = await t.throwsAsync(save(guest.qmp, dir.file('snapshot'), { writer: 'qemu', onProgress }), {
    code: 'ERR_MAPPED_RAM_QEMU',
  });
  await adding;
  t.regex(error?.message ?? '', /its disks are in use by export e0 \(nbd, of node n0\)/);
  await guest.assertAlive();
});
