import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { text } from 'node:stream/consumers';

import type { ExecutionContext } from 'ava';

import { verify } from '../../ts/index.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { BIN } from '../cli/run-cli.ts';

const SETUP = {
  memoryMiB: 64,
  region: { start: 16 * MIB, length: 8 * MIB },
  backend: 'file',
  share: true,
} as const;

/** Kinds of /dev/shm, as options of its mount. */
const KINDS = ['size=64k', 'ro'] as const;

/** Runs the command line where /dev/shm is another one. @returns its exit status and its words */
async function run(options: string, ...args: readonly string[]): Promise<readonly [number, string]> {
  const script = `mount --make-rprivate / && mount -t tmpfs -o ${options} none /dev/shm && exec "$@"`;
  const child = spawn('unshare', ['-m', 'sh', '-c', script, 'sh', process.execPath, BIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [status] = await once(child, 'close');
  return [Number(status), (await said).join('')];
}

function cannot(t: ExecutionContext): boolean {
  const { status, error } = spawnSync('unshare', ['-m', 'true']);
  if (status === 0) return false;
  writeSync(2, `\n*** NOT TRIED: no mount namespace here: ${error?.message ?? status} ***\n`);
  t.pass();
  return true;
}

for (const kind of KINDS) {
  qemuTest(`a /dev/shm with ${kind} is not needed`, async (t) => {
    if (cannot(t)) return;
    await using dir = await temporaryDirectory();
    const [server, path] = [dir.file('qmp'), dir.file('snapshot')];
    await using guest = await startGuest({
      ...SETUP,
      extraArgs: ['-qmp', `unix:${server},server=on,wait=off`],
    });
    await guest.waitForGenerations(2);
    const [saved, words] = await run(kind, 'save', server, path, '--writer', 'engine');
    t.is(saved, 0, words);
    t.true((await verify(path)).verified);
    const qemu = [
      QEMU_BINARY,
      '-machine',
      'q35,memory-backend=m0',
      '-accel',
      'tcg',
      '-nodefaults',
      '-vga',
      'none',
    ];
    const ram = ['-m', '64M', '-object', 'memory-backend-ram,id=m0,size=64M', '-display', 'none'];
    const rest = [
      '--after',
      'stop',
      '--',
      ...qemu,
      ...ram,
      '-S',
      '-drive',
      `if=ide,format=raw,file=${dir.file('none')}`,
    ];
    const [preloaded, why] = await run(kind, 'restore', path, '--mode', 'preload', ...rest);
    // QEMU has no such disk: the restore fails, and only the memory before it matters.
    t.not(preloaded, 0);
    if (kind === 'ro') t.notRegex(why, /too little room|cannot keep memory/);
    else
      t.regex(
        why,
        /\/dev\/shm: too little room for the memory; .*--ram-dir.*expected \d+ bytes, found 65536 bytes/,
      );
    const [named, refusal] = await run(
      kind,
      'restore',
      path,
      '--mode',
      'preload',
      '--ram-dir',
      '/dev/shm',
      ...rest,
    );
    t.not(named, 0);
    t.regex(refusal, /\/dev\/shm: (?:too little room|cannot keep memory there)/);
  });
}
