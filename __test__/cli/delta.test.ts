import { mkdir, readFile, rename } from 'node:fs/promises';

import test from 'ava';

import { diff } from '../../ts/index.ts';
import { GUEST, memoryOf, twoSnapshots } from '../delta/two-snapshots.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runCli } from './run-cli.ts';

test('info, verify and diff take a delta as they take a snapshot, and info names the base', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, base, later } = await twoSnapshots(dir, GUEST);
  const info = await runCli(['info', delta]);
  t.is(info.code, 0, info.stderr);
  t.regex(info.stdout, /^form +delta: mapped-ram, read with its base$/m);
  t.regex(info.stdout, /^base +\S+base\.mr, .* are allocated$/m);
  t.regex(info.stdout, /pages set, \d+ of them in the delta, /);
  const { json } = await runCli(['info', delta, '--json']);
  t.like(json(), { path: delta, base: { path: base, offset: 0 }, blocks: [{ id: 'pc.ram' }] });
  t.is((await runCli(['verify', delta])).code, 0);
  t.is((await runCli(['diff', delta, later])).code, 0);
  t.is((await runCli(['diff', delta, base])).code, 3);
});

test('--base says where the base is, and its lack is told', async (t) => {
  await using dir = await temporaryDirectory();
  const { delta, base, later } = await twoSnapshots(dir, GUEST);
  await mkdir(dir.file('away'));
  const away = dir.file('away/base.mr');
  await rename(base, away);
  const lost = await runCli(['info', delta]);
  t.is(lost.code, 1);
  t.regex(lost.stderr, /base\.mr is missing; say where it is \(base, --base\).*\[ERR_MAPPED_RAM_BASE\]/);
  const output = dir.file('pc.ram');
  const commands = [
    ['info', delta],
    ['verify', delta],
    ['diff', delta, later],
    ['diff', delta, delta, '--right-base', away],
    ['extract', delta, '--format', 'raw', '--block', 'pc.ram', '-o', output],
    ['convert', delta, dir.file('whole.mr')],
    ['unpack', delta, '--state', dir.file('state')],
    ['flatten', delta, dir.file('flat.mr')],
  ];
  for (const command of commands) {
    const { code, stderr } = await runCli([...command, '--base', away]);
    t.is(code, 0, `${command.join(' ')}: ${stderr}`);
  }
  t.is((await runCli(['diff', later, delta])).code, 1);
  t.is((await runCli(['diff', later, delta, '--right-base', away])).code, 0);
  const idle = await runCli(['diff', delta, '--ram', `pc.ram=${output}`, '--right-base', away]);
  t.is(idle.code, 2);
  t.regex(idle.stderr, /--right-base is about a second snapshot/);
  t.is(Buffer.compare(await readFile(output), memoryOf(GUEST[0]?.after ?? [])), 0);
  t.true((await diff(dir.file('whole.mr'), dir.file('flat.mr'))).equal);
});

test('flatten says what it did, and why', async (t) => {
  await using dir = await temporaryDirectory('/dev/shm');
  const { delta, later } = await twoSnapshots(dir, GUEST);
  const flat = dir.file('flat.mr');
  const { code, stdout, stderr } = await runCli(['flatten', delta, flat]);
  t.is(code, 0, stderr);
  t.regex(stdout, /^result +\S+flat\.mr, apparent size /m);
  t.regex(stdout, /^form +copy \(.+\)$/m);
  t.true((await diff(flat, later)).equal);
  const again = await runCli(['flatten', delta, flat, '--json']);
  t.is(again.code, 1);
  t.like(again.json(), { error: { code: 'ERR_MAPPED_RAM_EXISTS' } });
  const forced = await runCli(['flatten', delta, flat, '--force', '--json']);
  t.like(forced.json(), { path: flat, form: 'copy', source: { path: delta } });
  t.is((await runCli(['flatten', delta, dir.file('x'), '--form', 'link'])).code, 2);
});
