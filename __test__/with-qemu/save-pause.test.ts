import { readdir, stat } from 'node:fs/promises';

import { isQmpObject } from '../../ts/qmp/json.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';
import { save } from '../../ts/save/save.ts';
import type { SaveProgress } from '../../ts/save/save-options.ts';
import { verify } from '../../ts/verify/verify.ts';
import { startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { WAYS } from '../save/writers.ts';

/** What cannot be before or after: QEMU is told to write, asked how far it is, and asked what it holds. */
const NEEDED = new Set([
  'migrate',
  'query-migrate',
  'query-status',
  'query-yank',
  'x-query-ramblock',
  'xen-save-devices-state',
]);

for (const { way, writer, setup, options } of WAYS) {
  qemuTest(`${way}: a guest stands still for nothing that could be before or after`, async (t) => {
    await using dir = await temporaryDirectory();
    await using guest = await startGuest(setup);
    await guest.waitForGenerations(1);
    const { qmp } = guest;
    const seen = record(qmp);
    let sizeAtCont = 0;
    seen.before('cont', async () => {
      const names = await readdir(dir.path);
      t.is(names.length, 1);
      t.false(names.includes('guest.mr'), 'the snapshot has its name before the guest goes on');
      sizeAtCont = (await stat(dir.file(names[0] ?? ''))).size;
    });
    const saved = await save(qmp, dir.file('guest.mr'), options);
    t.like(saved, { writer, runState: 'running', warnings: [], verified: true });
    const { names } = seen;
    const [stop, cont] = [names.indexOf('stop'), names.indexOf('cont')];
    const [before, pause, after] = [names.slice(0, stop), names.slice(stop + 1, cont), names.slice(cont)];
    t.deepEqual(
      [...new Set(pause)].filter((command) => !NEEDED.has(command)),
      [],
    );
    const settings = way === 'capture' ? [] : ['migrate-set-capabilities'];
    for (const command of ['object-add', 'add-fd', ...settings])
      t.true(before.includes(command), `${command} comes before the stop`);
    for (const command of ['remove-fd', ...settings, 'object-del'])
      t.true(after.includes(command), `${command} comes after the guest goes on`);
    // What only QEMU can tell of a guest that stands still is asked then, too.
    t.true(pause.includes('x-query-ramblock'));
    // The engine adds what QEMU has written when the guest runs: until then, the file ends with the memory.
    if (writer === 'engine') t.true(sizeAtCont < (saved.size ?? 0), `${sizeAtCont} of ${saved.size} bytes`);
    await using clone = await restoreGuest(dir.file('guest.mr'), setup, {});
    await clone.assertAlive();
    await guest.assertAlive();
  });
}

qemuTest('the engine reads the memory while QEMU still writes the state', async (t) => {
  const setup = { backend: 'file', share: true } as const;
  await using dir = await temporaryDirectory();
  const path = dir.file('guest.mr');
  await using guest = await startGuest(setup);
  await guest.waitForGenerations(2);
  const { qmp } = guest;
  const execute = qmp.execute.bind(qmp);
  let hasBegun = false;
  // QEMU does not say that the state is written until the engine has begun.
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    const answer = await execute(command, ...rest);
    const isEnd = command === 'query-migrate' && isQmpObject(answer) && answer['status'] === 'completed';
    return isEnd && !hasBegun ? { ...answer, status: 'active' } : answer;
  });
  const onProgress = ({ step }: SaveProgress): void => {
    hasBegun ||= step === 'memory';
  };
  const saved = await save(qmp, path, { seal: true, xIgnoreShared: 'on', timeoutMs: 30_000, onProgress });
  t.like(saved, { writer: 'engine', verified: true, warnings: [], seal: `${path}.seal` });
  // The digests of the memory and of the blocks that came after it are where they belong.
  const { findings, seal } = await verify(path);
  t.deepEqual([findings, seal?.state], [[], 'checked']);
  t.is(saved.transfer?.bytes, sum(saved.blocks.map(({ length }) => length)));
  await using clone = await restoreGuest(path, setup, {});
  await clone.assertAlive();
});

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}

interface Recorded {
  /** The commands so far, in the order in which they were given. */
  readonly names: readonly string[];
  /** Lets something be done once, right before a command. */
  readonly before: (command: string, what: () => Promise<void>) => void;
}

function record(qmp: QmpClient): Recorded {
  const names: string[] = [];
  const works = new Map<string, () => Promise<void>>();
  const execute = qmp.execute.bind(qmp);
  Reflect.set(qmp, 'execute', async (command: string, ...rest: []) => {
    names.push(command);
    const work = works.get(command);
    works.delete(command);
    await work?.();
    return execute(command, ...rest);
  });
  return { names, before: (command, what) => void works.set(command, what) };
}
