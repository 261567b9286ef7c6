import { chmod, mkdir, writeFile } from 'node:fs/promises';

import test from 'ava';

import { doctor } from '../../ts/doctor/doctor.ts';
import { toJson } from '../../ts/cli/render/json.ts';
import { findQemu } from '../../ts/qemu/process/find-qemu.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { QEMU_BINARY, QEMU_VERSION, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runCli } from './run-cli.ts';

const NO_QEMU = { MAPPED_RAM_QEMU: '/nonexistent/qemu' };

test('doctor works without QEMU, and says that there is none', async (t) => {
  await using dir = await temporaryDirectory();
  const { code, stdout, stderr } = await runCli(['doctor', '--dir', dir.path], { env: NO_QEMU });
  t.is(code, 0, stderr);
  t.is(stderr, '');
  t.regex(stdout, /^QEMU +no — there is no program \/nonexistent\/qemu$/m);
  for (const mode of MODE_NAMES) {
    t.regex(stdout, new RegExp(`^  restore ${mode} +no — there is no program /nonexistent/qemu$`, 'm'));
  }
  for (const key of [
    'system',
    'io_uring',
    'locked memory',
    'directory',
    'direct I\\/O',
    'huge pages',
    'KVM',
  ]) {
    t.regex(stdout, new RegExp(`^${key} +\\S`, 'm'));
  }
  t.regex(stdout, /^auto takes here\nI\/O engine +(io_uring|threads) — \S.*\ndirect I\/O +(on|off) — \S.*$/m);
});

test('doctor --json prints what the API returns', async (t) => {
  await using dir = await temporaryDirectory();
  const { code, json } = await runCli(['doctor', '--json', '--dir', dir.path], { env: NO_QEMU });
  t.is(code, 0);
  const report = await doctor({ directory: dir.path, qemu: NO_QEMU.MAPPED_RAM_QEMU });
  const { filesystem: _, sharedMemory: __, ...steady } = report;
  const expected: Record<string, unknown> = JSON.parse(toJson(steady));
  t.like(json(), expected);
  t.is(report.qemu.path, undefined);
  t.true((report.filesystem?.freeBytes ?? 0) > 0);
});

/** Node's option for its permission model: Node 20 has it as an experiment alone. */
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

test('doctor works where Node forbids add-ons, and names the option', async (t) => {
  await using dir = await temporaryDirectory();
  for (const [options, words] of [
    ['--no-addons', /Node's add-ons are switched off; leave --no-addons out/],
    [`${PERMISSION} --allow-fs-read=*`, /Node's permission model is on .*; give node --allow-addons$/],
  ] as const) {
    const env = { ...NO_QEMU, NODE_OPTIONS: `--no-warnings ${options}` };
    const { code, stdout, stderr } = await runCli(['doctor', '--dir', dir.path], { env });
    t.is(code, 0, stderr);
    t.regex(/^native code +no — (.*)$/m.exec(stdout)?.[1] ?? '', words);
    t.false(stdout.includes('node_modules'));
    const modes = MODE_NAMES.map((mode) => `  restore ${mode}`);
    for (const name of ['io_uring', 'direct I\\/O', 'userfaultfd', ...modes]) {
      t.regex(stdout, new RegExp(`^${name} +no — the native binding cannot be loaded$`, 'm'));
    }
    const json = await runCli(['doctor', '--dir', dir.path, '--json'], { env });
    t.like(json.json(), { nativeBinding: { available: false }, auto: { directIo: { value: false } } });
    const help = await runCli(['--help'], { env });
    t.is(help.code, 0, help.stderr);
  }
});

qemuTest('doctor tells what it can of QEMU without native code, and what it may not start', async (t) => {
  await using dir = await temporaryDirectory();
  const args = ['doctor', '--dir', dir.path];
  const without = await runCli(args, { env: { NODE_OPTIONS: '--no-addons' } });
  t.regex(without.stdout, new RegExp(`^QEMU +${QEMU_VERSION.join('\\.')}, `, 'm'));
  const env = { NODE_OPTIONS: `--no-warnings ${PERMISSION} --allow-fs-read=*` };
  const refused = await runCli(args, { env });
  t.regex(refused.stdout, /^QEMU .*cannot run QEMU .*; give node --allow-child-process\)$/m);
});

test('doctor on a directory that is none fails with its name', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('file'), '');
  for (const [name, words] of [
    ['none', /there is no such directory/],
    ['file', /not a directory/],
  ] as const) {
    const { code, stderr } = await runCli(['doctor', '--dir', dir.file(name)]);
    t.is(code, 1);
    t.true(stderr.includes(dir.file(name)));
    t.regex(stderr, words);
  }
});

test('a QEMU that does not answer is a finding', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('qemu, broken');
  await writeFile(path, '#!/bin/sh\necho "libfoo.so.1: cannot open shared object file" >&2\nexit 127\n');
  await chmod(path, 0o755);
  const finding = await findQemu({ binary: path });
  t.like(finding, { path, version: undefined, mappedRam: false, directIo: false });
  t.regex(finding.why ?? '', /status 127: libfoo\.so\.1: cannot open/);
});

/** A stand-in for QEMU 8.2, which speaks enough QMP to be told from 9.0. */
const OLD_QEMU = `#!${process.execPath}
const socket = new (require('node:net').Socket)({ fd: 3 });
const say = (message) => socket.write(JSON.stringify(message) + '\\n');
say({ QMP: { version: { qemu: { major: 8, minor: 2, micro: 1 }, package: '' }, capabilities: [] } });
require('node:readline').createInterface(socket).on('line', (line) => {
  const { execute, id } = JSON.parse(line);
  say({ id, return: execute === 'query-migrate-capabilities' ? [{ capability: 'multifd', state: false }] : {} });
});
`;

test('a QEMU from before mapped-ram is found, and said to be too old', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('qemu-8.2');
  await writeFile(path, OLD_QEMU);
  await chmod(path, 0o755);
  t.deepEqual(await findQemu({ binary: path }), {
    path,
    version: '8.2.1',
    mappedRam: false,
    directIo: false,
    multifd: true,
    xIgnoreShared: false,
    fdsets: false,
    why: 'QEMU 8.2.1 is too old: mapped-ram came with 9.0',
  });
  const env = { MAPPED_RAM_QEMU: path };
  const { stdout } = await runCli(['doctor', '--dir', dir.path], { env });
  t.regex(stdout, /^QEMU +8\.2\.1, .*qemu-8\.2\n +mapped-ram +no — QEMU 8\.2\.1 is too old/m);
});

test('a QEMU that is not executable, or a directory, is none', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('qemu'), '');
  await mkdir(dir.file('folder'));
  t.like(await findQemu({ binary: dir.file('qemu') }), { mappedRam: false, version: undefined });
  t.like(await findQemu({ binary: dir.file('folder') }), { mappedRam: false, version: undefined });
  t.regex((await findQemu({ binary: 'no-such-qemu' })).why ?? '', /no no-such-qemu on the PATH/);
});

test('looking for QEMU ends when it is told to', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('qemu');
  await writeFile(path, '#!/bin/sh\nexec sleep 60\n');
  await chmod(path, 0o755);
  const reason = new Error('enough');
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 100);
  await t.throwsAsync(findQemu({ binary: path, signal: controller.signal }), { is: reason });
});

qemuTest('doctor asks QEMU for its version and its capabilities', async (t) => {
  const { code, json, stdout } = await runCli(['doctor', '--json'], {
    env: { MAPPED_RAM_QEMU: QEMU_BINARY },
  });
  t.is(code, 0, stdout);
  t.like(json(), { qemu: { version: QEMU_VERSION.join('.'), mappedRam: true, why: null } });
});
