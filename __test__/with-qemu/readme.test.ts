import { spawnSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { runCli } from '../cli/run-cli.ts';
import { startGuest } from '../support/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../support/qemu-required.ts';
import { guestArgs } from '../support/qemu-setup.ts';
import { NEEDS_QEMU, readmeBlocks, toCommonJs } from '../support/readme.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const [saving = '', ...looking] = readmeBlocks('js').filter((code) => NEEDS_QEMU.test(code));
const commands = readmeBlocks('sh')
  .flatMap((block) => block.split('\n'))
  .filter((line) => NEEDS_QEMU.test(line))
  .map((line) => line.replace(/ +#.*/, '').split(/ +/).slice(2));

async function project(): Promise<TemporaryDirectory> {
  const dir = await temporaryDirectory();
  await mkdir(dir.file('node_modules'));
  await symlink(ROOT, dir.file('node_modules/mapped-ram'), 'junction');
  return dir;
}

async function example(dir: TemporaryDirectory, name: string, code: string): Promise<string> {
  await writeFile(dir.file(name), code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [name], { cwd: dir.path, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return stdout;
}

test('these are the commands of the README about a snapshot of QEMU', (t) => {
  t.deepEqual(
    commands.map(([name]) => name),
    ['save', 'restore', 'info', 'verify', 'save', 'info', 'diff', 'extract', 'convert'],
  );
});

qemuTest('the examples save a guest and look into it, as ESM and as CommonJS', async (t) => {
  for (const [ending, form] of [
    ['mjs', (code: string) => code],
    ['cjs', toCommonJs],
  ] as const) {
    await using dir = await project();
    const extraArgs = ['-qmp', `unix:${dir.file('guest.qmp')},server=on,wait=off`];
    await using guest = await startGuest({ extraArgs });
    const saved = await example(dir, `save.${ending}`, form(saving));
    t.regex(
      saved,
      /\.mr: \d+ bytes, written by engine: the engine takes the guest out of QEMU's process.*\nthe guest stood still for \d+ ms\n$/,
    );
    t.is(looking.length, 1);
    const later = await runCli(['save', 'guest.qmp', 'later.mr', '--writer', 'qemu'], { cwd: dir.path });
    t.is(later.code, 0, later.stderr);
    // CommonJS has no await outside of functions.
    const look = ending === 'mjs' ? (looking[0] ?? '') : inFunction(form(looking[0] ?? ''));
    t.regex(
      await example(dir, `look.${ending}`, look),
      /^rip 0x[0-9a-f]+, page tables begin with [0-9a-f]{32}\n$/,
    );
    await guest.assertAlive();
  }
});

function inFunction(code: string): string {
  const end = code.indexOf('\n') + 1;
  return `${code.slice(0, end)}(async () => {${code.slice(end)}})();`;
}

qemuTest('the commands save a guest, let it go on in a new QEMU, and look into it', async (t) => {
  await using dir = await project();
  const extraArgs = ['-qmp', `unix:${dir.file('guest.qmp')},server=on,wait=off`];
  await using guest = await startGuest({ extraArgs });
  await guest.waitForGenerations(1);
  const [save = [], restore = [], ...rest] = commands;
  const run = async (args: readonly string[], expected = 0): Promise<void> => {
    const { code, stderr } = await runCli(args, { cwd: dir.path });
    t.is(code, expected, `${args.join(' ')}: ${stderr}`);
  };
  await run(save);
  await writeGuestDisk(dir.file('boot.img'));
  // The command line of this guest takes the place of the one at which the README only hints.
  const own = restore.slice(0, restore.indexOf('--') + 1);
  const restored = await runCli([...own, QEMU_BINARY, ...guestArgs({}, dir.path)], {
    cwd: dir.path,
    meanwhile: async (child) => {
      let words = '';
      for await (const text of child.stderr?.setEncoding('utf8') ?? []) {
        words += String(text);
        if (/^load/m.test(words)) break;
      }
      child.kill('SIGTERM');
    },
  });
  t.is(restored.code, 143, restored.stderr);
  await guest.waitForGenerations(1);
  for (const args of rest) {
    if (args[0] === 'convert') {
      await run(['convert', 'guest.mr', 'guest.stream', '--to', 'stream']);
      await run([...args, '--force']);
    } else await run(args, args[0] === 'diff' ? 3 : 0);
  }
});
