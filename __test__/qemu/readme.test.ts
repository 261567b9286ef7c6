import { spawnSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { writeGuestDisk } from '../../ts/guest/write-guest-disk.ts';
import { runCli } from '../cli/run-cli.ts';
import { startGuest } from '../helpers/qemu.ts';
import { QEMU_BINARY, qemuTest } from '../helpers/qemu-required.ts';
import { guestArgs } from '../helpers/qemu-setup.ts';
import { NEEDS_QEMU, readmeBlocks, toCommonJs } from '../helpers/readme.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../helpers/temporary.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const [example = '', ...more] = readmeBlocks('js').filter((code) => NEEDS_QEMU.test(code));
const commands = readmeBlocks('sh')
  .flatMap((block) => block.split('\n'))
  .filter((line) => NEEDS_QEMU.test(line))
  .map((line) => line.split(/ +/).slice(2));

async function project(): Promise<TemporaryDirectory> {
  const dir = await temporaryDirectory();
  await mkdir(dir.file('node_modules'));
  await symlink(ROOT, dir.file('node_modules/mapped-ram'), 'junction');
  return dir;
}

test('what of the README needs QEMU is one example and two commands', (t) => {
  t.deepEqual(more, []);
  t.deepEqual(
    commands.map(([name]) => name),
    ['save', 'restore'],
  );
});

qemuTest('the example saves a guest as ESM and as CommonJS', async (t) => {
  await using dir = await project();
  const extraArgs = ['-qmp', `unix:${dir.file('guest.qmp')},server=on,wait=off`];
  await using guest = await startGuest({ extraArgs });
  for (const [name, code] of [
    ['example.mjs', example],
    ['example.cjs', toCommonJs(example)],
  ] as const) {
    await writeFile(dir.file(name), code.replace("'guest.mr'", `'${name}.mr'`));
    const { status, stdout, stderr } = spawnSync(process.execPath, [name], {
      cwd: dir.path,
      encoding: 'utf8',
    });
    t.is(status, 0, stderr);
    t.regex(stdout, /\.mr: \d+ bytes, written by qemu: blocks above .*\nthe guest stood still for \d+ ms\n$/);
  }
  await guest.assertAlive();
});

qemuTest('the commands save a guest and let it go on in a new QEMU', async (t) => {
  await using dir = await project();
  const extraArgs = ['-qmp', `unix:${dir.file('guest.qmp')},server=on,wait=off`];
  await using guest = await startGuest({ extraArgs });
  await guest.waitForGenerations(1);
  const [save = [], restore = []] = commands;
  const saved = await runCli(save, { cwd: dir.path });
  t.is(saved.code, 0, saved.stderr);
  await writeGuestDisk(dir.file('boot.img'));
  // The command line of this guest, and one that ends by itself, in place of the one that is only hinted at.
  const own = restore.slice(0, restore.indexOf('--') + 1);
  const end = ['-qmp', 'stdio', '-no-shutdown'];
  const restored = await runCli([...own, QEMU_BINARY, ...guestArgs({}, dir.path), ...end], {
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
});
