import { truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { planSave, save } from '../../ts/save/save.ts';
import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { queryQemuFacts } from '../../ts/qemu/qemu-facts.ts';
import { identifyQemu } from '../../ts/qemu/identify-qemu.ts';
import { attach } from '../../ts/restore/attach.ts';
import { QmpProxy } from '../save/qmp-proxy.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

/** Memory that no device uses: its RAM block has no name. */
const SPARE = ['-object', 'memory-backend-ram,id=spare,size=32M'];
/** A QEMU that refuses whatever is not stable, and does not list its blocks over QMP. */
const STABLE = ['-compat', 'unstable-input=reject,unstable-output=hide'];
const SETUP = { backend: 'file', share: true } as const;

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest(SETUP, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

qemuTest('a block without a name hides no other', async (t) => {
  await using guest = await startGuest({ ...SETUP, extraArgs: SPARE });
  await guest.waitForGenerations(1);
  const { memory } = await queryQemuFacts(guest.qmp);
  t.deepEqual(memory[0]?.id, 'm0');
  t.false(memory.some(({ id, backend }) => id === '' || backend?.id === 'spare'));
  t.like(await save(guest.qmp, dir.file('by-engine'), { writer: 'engine' }), { verified: true });
  t.like(await save(guest.qmp, dir.file('by-qemu'), { writer: 'qemu' }), { verified: true });
});

function card(more = ''): readonly string[] {
  return `-netdev user,id=n0 -device virtio-net-pci,netdev=n0,addr=3${more}`.split(' ');
}

for (const [what, extraArgs] of [
  ['has a block without a name', SPARE],
  ['refuses what is not stable', STABLE],
] as const) {
  qemuTest(`an eager restore leaves nothing stale in a QEMU that ${what}`, async (t) => {
    await using memory = await temporaryDirectory();
    await writeFile(memory.file('m0.ram'), Buffer.alloc(128 * MIB, 0xa5));
    const setup = { ...SETUP, memPathDir: memory.path, extraArgs };
    await using guest = await restoreGuest(snapshot, setup, { mode: 'eager' });
    t.is(guest.restored.form, 'stream');
    t.regex(guest.restored.why, /m0 is in \S+m0\.ram, which holds something/);
    // A page that the guest never touched.
    const page = await guest.readBlock('m0', 120 * MIB, 4096);
    t.true(page.every((byte) => byte === 0));
    await guest.assertAlive();
  });

  qemuTest(`a ROM of another size is noticed in a QEMU that ${what}`, async (t) => {
    const path = dir.file(`card-${extraArgs[0]}`);
    await saveGuest({ extraArgs: card() }, path);
    for (const mode of ['instant', 'eager'] as const) {
      const late = restoreGuest(path, { extraArgs: [...card(',romsize=524288'), ...extraArgs] }, { mode });
      await t.throwsAsync(late, { message: /virtio-net-pci\.rom has \d+ bytes in the snapshot/ }, mode);
    }
  });
}

qemuTest(
  'a QEMU that refuses unstable capabilities is not migrated by the engine, which needs none',
  async (t) => {
    await using guest = await startGuest({ ...SETUP, extraArgs: STABLE });
    await guest.waitForGenerations(1);
    t.like(await save(guest.qmp, dir.file('taken')), {
      writer: 'engine',
      verified: true,
      plan: { stateOnly: { value: true } },
    });
    const migrated = { fdset: 'off' } as const;
    const plan = await planSave(guest.qmp, dir.file('stable'), migrated);
    t.like(plan.writer, { value: 'qemu', rule: 'engine-needs-x-ignore-shared' });
    t.regex(plan.writer.why, /refuses it as unstable/);
    t.like(await save(guest.qmp, dir.file('stable'), migrated), { writer: 'qemu', verified: true });
    const wanted = save(guest.qmp, dir.file('wanted'), { ...migrated, writer: 'engine' });
    await t.throwsAsync(wanted, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /refuses it as unstable/ });
  },
);

qemuTest('through a proxy a guest is saved and restored, without descriptors', async (t) => {
  const monitor = (name: string): readonly string[] => ['-qmp', `unix:${dir.file(name)},server=on,wait=off`];
  await using guest = await startGuest({ extraArgs: monitor('source') });
  await guest.waitForGenerations(2);
  await using near = await QmpProxy.listen(dir.file('near'), dir.file('source'));
  await using source = await QmpClient.connect(dir.file('near'));
  t.deepEqual(await identifyQemu(source), { passesDescriptors: false, pid: undefined });
  const saved = await save(source, dir.file('proxied'));
  t.like(saved, { verified: true, plan: { fdset: { value: false, rule: 'fdset-connection' } } });
  t.true(saved.warnings.some((words) => words.includes('nothing shows that QEMU is on this host')));
  // What was asked for is refused in the plan, before the guest stands still.
  const asked = save(source, dir.file('asked'), { fdset: 'on' });
  await t.throwsAsync(asked, { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: /an fd set cannot be had/ });
  t.is(await guest.runState(), 'running');
  await guest.checkMemory();

  await using waiting = await startGuest({ incoming: true, extraArgs: monitor('destination') });
  await using far = await QmpProxy.listen(dir.file('far'), dir.file('destination'));
  await using destination = await QmpClient.connect(dir.file('far'));
  t.is((await attach(destination, dir.file('proxied'), { mode: 'eager' })).runState, 'running');
  await waiting.assertAlive();
  await source.close();
  await destination.close();
  near.cut();
  far.cut();
});

qemuTest('to look at QEMU leaves nothing in it, nor here', async (t) => {
  const args = ['-machine', 'none', '-nodefaults', '-no-user-config', '-display', 'none'];
  const socket = dir.file('looked-at');
  const server = ['-qmp', `unix:${socket},server=on,wait=off`];
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args: [...args, ...server] });
  const look = async (): Promise<void> => {
    await using qmp = await QmpClient.connect(socket);
    t.deepEqual(await identifyQemu(qmp), { passesDescriptors: true, pid: qemu.pid });
    t.deepEqual(await qmp.execute('query-fdsets'), []);
  };
  await assertNoLeak(t, look, look);
});

qemuTest('memory in a file is fresh only when it is known to hold nothing', async (t) => {
  await using memory = await temporaryDirectory();
  await writeFile(memory.file('m0.ram'), '');
  await truncate(memory.file('m0.ram'), 128 * MIB);
  const setup = { ...SETUP, memPathDir: memory.path };
  await using guest = await restoreGuest(snapshot, setup, { mode: 'eager' });
  t.is(guest.restored.form, 'mapped-ram');
  // QEMU makes a file without a name in a directory.
  const object = `memory-backend-file,id=m0,size=128M,share=on,mem-path=${memory.path}`;
  const inDirectory = {
    memoryArgs: ['-object', object, '-machine', 'memory-backend=m0'],
    memoryBlocks: ['m0'],
  };
  await using nameless = await restoreGuest(snapshot, inDirectory, { mode: 'eager' });
  t.is(nameless.restored.form, 'mapped-ram');
});
