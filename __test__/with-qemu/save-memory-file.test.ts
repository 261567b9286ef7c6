import { closeSync, openSync } from 'node:fs';
import { copyFile, mkdir, readdir, rm, truncate, unlink, writeFile } from 'node:fs/promises';

import { save } from '../../ts/index.ts';
import { negotiate } from '../../ts/negotiate/negotiate.ts';
import type { SaveRequest } from '../../ts/negotiate/request.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { isQmpObject } from '../../ts/qmp/json.ts';
import type { SaveProgress } from '../../ts/save/save-options.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { QmpProxy } from '../save/qmp-proxy.ts';

const SHARED = { backend: 'file', share: true } as const;
/** The engine reads the files of the memory while QEMU migrates the rest; it would look into QEMU's process instead. */
const BY_FILE = { xIgnoreShared: 'on' } as const;
const monitor = (path: string): readonly string[] => ['-qmp', `unix:${path},server=on,wait=off`];

qemuTest('a file that has only the name of the memory is not written as the memory', async (t) => {
  await using dir = await temporaryDirectory();
  await using memory = await temporaryDirectory();
  const [socket, file] = [dir.file('qmp'), memory.file('m0.ram')];
  await using guest = await startGuest({ ...SHARED, memPathDir: memory.path, extraArgs: monitor(socket) });
  await guest.waitForGenerations(2);
  await using qmp = await QmpClient.connect(socket);
  t.like(await save(qmp, dir.file('one')), { writer: 'engine', verified: true });
  await unlink(file);
  await writeFile(file, '');
  await truncate(file, 128 * MIB);
  // QEMU's process has the memory, whatever has its name.
  t.like(await save(qmp, dir.file('two')), {
    writer: 'engine',
    plan: { stateOnly: { value: true }, engineBlocks: [] },
    verified: true,
  });
  for (const name of ['one', 'two']) {
    await using clone = await restoreGuest(dir.file(name), { backend: 'ram' }, {});
    await clone.assertAlive();
  }
  await guest.assertAlive();
});

const NOT_USED = {
  code: 'ERR_MAPPED_RAM_QEMU',
  message: /the file of block m0 is not the one any more that QEMU uses/,
};

qemuTest('memory that is replaced after the plan was made is not written either', async (t) => {
  await using dir = await temporaryDirectory();
  await using memory = await temporaryDirectory();
  await using guest = await startGuest({ ...SHARED, memPathDir: memory.path });
  await guest.waitForGenerations(2);
  const file = memory.file('m0.ram');
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  const replaceBefore = (moment: string): void => {
    Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
      if (command === moment) {
        await copyFile(file, memory.file('copy'));
        await unlink(file);
        await writeFile(file, '');
        await truncate(file, 128 * MIB);
      }
      return execute(command, ...rest);
    });
  };
  // The memory is open when QEMU stops the guest, and its name means nothing any more.
  replaceBefore('stop');
  t.like(await save(qmp, dir.file('one')), { writer: 'engine', verified: true });
  await using clone = await restoreGuest(dir.file('one'), SHARED, {});
  await clone.assertAlive();
  await unlink(file);
  await copyFile(memory.file('copy'), file);
  await guest.assertAlive();
});

qemuTest('memory that is replaced before it is opened is no reason to stop the guest', async (t) => {
  await using dir = await temporaryDirectory();
  await using memory = await temporaryDirectory();
  await using guest = await startGuest({ ...SHARED, memPathDir: memory.path });
  await guest.waitForGenerations(2);
  const file = memory.file('m0.ram');
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  const commands: string[] = [];
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    commands.push(command);
    if (command === 'object-add') {
      await unlink(file);
      await writeFile(file, '');
      await truncate(file, 128 * MIB);
    }
    return execute(command, ...rest);
  });
  await t.throwsAsync(save(qmp, dir.file('guest.mr'), BY_FILE), NOT_USED);
  t.true(commands.includes('object-add'));
  t.false(commands.includes('stop'));
  t.deepEqual(await readdir(dir.path), []);
  t.is(await guest.runState(), 'running');
  await guest.assertAlive();
});

qemuTest('memory that QEMU has exchanged right before it stopped the guest is no save', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest(SHARED);
  await guest.waitForGenerations(2);
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let isStopped = false;
  // QEMU has the block at another address from the stop on: what is mapped there is not the file.
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    const answer = await execute(command, ...rest);
    isStopped ||= command === 'stop';
    if (command !== 'x-query-ramblock' || !isStopped || !isQmpObject(answer)) return answer;
    const { 'human-readable-text': table } = answer;
    if (typeof table !== 'string') return answer;
    return { 'human-readable-text': table.replace(/^( *m0 .*)0x[0-9a-f]+/m, '$1 0x1000') };
  });
  await t.throwsAsync(save(qmp, dir.file('guest.mr'), BY_FILE), NOT_USED);
  t.true(isStopped);
  t.deepEqual(await readdir(dir.path), []);
  t.is(await guest.runState(), 'running');
  await guest.assertAlive();
});

qemuTest('a descriptor that was used again for something else is not taken for the memory', async (t) => {
  await using dir = await temporaryDirectory();
  const socket = dir.file('qmp');
  for (const name of ['memory', 'other']) {
    await writeFile(dir.file(name), '');
    await truncate(dir.file(name), 128 * MIB);
  }
  const fd = openSync(dir.file('memory'), 'r+');
  const path = `/proc/${process.pid}/fd/${fd}`;
  await using guest = await startGuest({
    memoryArgs: ['-m', '128M', '-machine', 'memory-backend=m0'].concat(
      '-object',
      `memory-backend-file,id=m0,size=128M,share=on,mem-path=${path}`,
    ),
    memoryBlocks: ['m0'],
    extraArgs: monitor(socket),
  });
  await guest.waitForGenerations(1);
  await using qmp = await QmpClient.connect(socket);
  const plan = async (request: Partial<SaveRequest> = {}): Promise<unknown> =>
    negotiate(qmp, { direction: 'save', target: dir.file('x'), ...request });
  t.like(await plan(BY_FILE), { writer: { value: 'engine' }, stateOnly: { value: false } });
  closeSync(fd);
  const others: number[] = [];
  while (!others.includes(fd)) others.push(openSync(dir.file('other'), 'r'));
  t.like(await plan(), { writer: { value: 'engine' }, stateOnly: { value: true }, engineBlocks: [] });
  for (const other of others) closeSync(other);
});

qemuTest('behind a proxy nothing shows whose memory it is, and QEMU writes', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest({ ...SHARED, extraArgs: monitor(dir.file('qmp')) });
  await guest.waitForGenerations(1);
  await using proxy = await QmpProxy.listen(dir.file('proxy'), dir.file('qmp'));
  await using qmp = await QmpClient.connect(dir.file('proxy'));
  t.like(await save(qmp, dir.file('guest.mr')), {
    writer: 'qemu',
    verified: true,
    plan: { writer: { rule: 'engine-another-host' }, fdset: { value: false, rule: 'fdset-connection' } },
  });
  await qmp.close();
  proxy.cut();
});

qemuTest('what only QEMU can do makes QEMU write', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest(SHARED);
  await guest.waitForGenerations(1);
  const all = await save(guest.qmp, dir.file('all'), { zeroPageDetection: 'none' });
  t.like(all, { writer: 'qemu', plan: { writer: { rule: 'engine-no-zero-page-choice' } } });
  t.is(all.migration?.ram?.zeroPages, 0);
  const slow = await save(guest.qmp, dir.file('slow'), { maxBandwidth: 1024 * MIB });
  t.like(slow, { writer: 'qemu', plan: { writer: { rule: 'engine-no-bandwidth' } } });
  t.like(await save(guest.qmp, dir.file('fast'), { maxBandwidth: 0 }), { writer: 'engine' });
});

qemuTest('a seal that cannot get its name leaves a saved guest, and a warning', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  await using guest = await startGuest(SHARED);
  await guest.waitForGenerations(1);
  let made: Promise<unknown> | undefined;
  const onProgress = ({ step }: SaveProgress): void => {
    if (step === 'memory') made ??= mkdir(`${path}.seal`);
  };
  const saved = await save(guest.qmp, path, { writer: 'engine', seal: true, onProgress });
  await made;
  t.like(saved, { verified: true, runState: 'running', seal: undefined });
  t.regex(saved.warnings.join(), /the snapshot is complete, but it has no seal: /);
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'guest.mr.seal']);
  await rm(`${path}.seal`, { recursive: true });
  await using clone = await restoreGuest(path, SHARED, {});
  await clone.assertAlive();
});

qemuTest('a block that has another length in QEMU than in the file is no save, whoever writes', async (t) => {
  await using dir = await temporaryDirectory();
  await using guest = await startGuest(SHARED);
  await guest.waitForGenerations(1);
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let tables = 0;
  // The first table is for the plan, so it stays right.
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    const answer: unknown = await execute(command, ...rest);
    if (command !== 'x-query-ramblock' || (tables += 1) === 1) return answer;
    return {
      'human-readable-text': JSON.parse(JSON.stringify(answer).replace(/0x0+8000000/, '0x0000000008001000'))[
        'human-readable-text'
      ],
    };
  });
  for (const writer of ['engine', 'qemu'] as const) {
    tables = 0;
    await t.throwsAsync(save(qmp, dir.file('guest.mr'), { writer }), {
      code: 'ERR_MAPPED_RAM_INCOMPLETE',
      message: /block m0 has 134217728 bytes in the file and 134221824 in QEMU/,
    });
  }
  t.deepEqual(await readdir(dir.path), []);
});
