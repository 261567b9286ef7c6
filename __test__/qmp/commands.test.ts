import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { QemuProcess } from '../../ts/qemu/process/qemu-process.ts';
import { QEMU_BINARY, QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';

const GENERATED = new URL('../../ts/qmp/qapi.generated.ts', import.meta.url);
const SCRIPT = 'scripts/generate-qapi.mjs';

qemuTest('the types of the commands are those of the QEMU they were made from', async (t) => {
  const stored = await readFile(GENERATED, 'utf8');
  const version = /schema of QEMU (\d+\.\d+\.\d+)\./.exec(stored)?.[1];
  const args = [SCRIPT, '--qemu', QEMU_BINARY, '--stdout'];
  // The program fails when a QEMU lacks one of the commands.
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 24 });
  if (version !== QEMU_VERSION.join('.')) {
    t.log(`not compared: they were made from QEMU ${version}, and this is ${QEMU_VERSION.join('.')}`);
    return;
  }
  t.is(stdout, stored);
});

qemuTest('arguments and results have types', async (t) => {
  const args = ['-machine', 'none', '-nodefaults', '-display', 'none'];
  await using qemu = await QemuProcess.start({ binary: QEMU_BINARY, args });
  const { qmp } = qemu;
  const running: boolean = (await qmp.execute('query-status')).running;
  t.true(running);
  const channels: number | bigint | undefined = (await qmp.execute('query-migrate-parameters'))[
    'multifd-channels'
  ];
  t.is(channels, 2);
  // @ts-expect-error -- an argument has to have its type
  await t.throwsAsync(qmp.execute('migrate-set-parameters', { 'max-bandwidth': 'much' }));
  // @ts-expect-error -- and its name
  await t.throwsAsync(qmp.execute('remove-fd', { fdset: 1 }));
  // Commands without types take and return anything.
  const name: unknown = await qmp.execute('query-name', {});
  t.deepEqual(name, {});
});
