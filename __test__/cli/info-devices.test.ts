import { writeFile } from 'node:fs/promises';

import test from 'ava';

import { Snapshot } from '../../ts/index.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { deviceStream, type DeviceSection } from '../stream/devices/device-stream.ts';
import { x86Sections } from '../stream/devices/x86-sections.ts';
import { runCli } from './run-cli.ts';

const pair = {
  vmsd_name: 'pair',
  version: 1,
  fields: [
    { name: 'on', type: 'bool', size: 1 },
    { name: 'count', type: 'int16', size: 2 },
  ],
};
const NET: DeviceSection = {
  name: '0000:00:02.0/virtio-net',
  instanceId: 0,
  version: 11,
  body: Buffer.concat([
    Buffer.from('fffffffffffffffe', 'hex'),
    Buffer.from('01ffff'.repeat(3), 'hex'),
    Buffer.alloc(40, 0xab),
    Buffer.alloc(1000),
    Buffer.from('\u0005\u0008net/more'),
    Buffer.from('000000020009', 'hex'),
  ]),
  description: {
    vmsd_name: 'virtio-net',
    version: 11,
    fields: [
      { name: 'features', type: 'uint64', size: 8 },
      { name: 'pairs', array_len: 3, type: 'struct', size: 3, struct: pair },
      { name: 'config', type: 'buffer', size: 40 },
      { name: 'queue', type: 'buffer', size: 1000 },
    ],
    subsections: [
      { vmsd_name: 'net/more', version: 2, fields: [{ name: 'list', array_len: 2, type: 'uint8', size: 1 }] },
    ],
  },
};
const SECTIONS = [...x86Sections(0, false), ...x86Sections(1, true), NET];

async function withStream(
  sections: readonly DeviceSection[],
  use: (path: string, dir: TemporaryDirectory) => Promise<void>,
): Promise<void> {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('saved'), deviceStream(sections).bytes);
  await use(dir.file('saved'), dir);
}

test('info --devices lists the devices', async (t) => {
  await withStream(SECTIONS, async (path) => {
    const { code, stdout, stderr } = await runCli(['info', '--devices', path]);
    t.is(code, 0, stderr);
    t.regex(stdout, /^device +instance +version +described as +at +bytes$/m);
    t.regex(stdout, /^cpu +1 +12 +cpu +0x[0-9a-f]+ +\d+$/m);
    t.regex(stdout, /^0000:00:02\.0\/virtio-net +0 +11 +virtio-net +0x[0-9a-f]+ +1,073$/m);
    t.is(stdout.trimEnd().split('\n').length, SECTIONS.length + 1);
  });
});

test('info --device shows every field, what is long abbreviated', async (t) => {
  await withStream(SECTIONS, async (path) => {
    for (const name of ['virtio-net', 'virtio-net/0', '0000:00:02.0/virtio-net']) {
      const { code, stdout, stderr } = await runCli(['info', path, '--device', name]);
      t.is(code, 0, stderr);
      t.deepEqual(stdout.trimEnd().split('\n').slice(1), [
        '  features  uint64     0xfffffffffffffffe',
        '  pairs     struct[3]',
        '    [0]  on true  count -1',
        '    … 2 more of the same',
        `  config    buffer     ${'abababab '.repeat(8)}… 40 bytes`,
        '  queue     buffer     1,000 zero bytes',
        '  net/more  subsection, version 2',
        '    list  uint8  0009',
      ]);
      t.regex(stdout, /^0000:00:02\.0\/virtio-net\/0 {2}version 11, 1,073 bytes at 0x[0-9a-f]+$/m);
    }
    const { stdout } = await runCli(['info', path, '--device', 'cpu']);
    t.regex(stdout, /^cpu\/0 /m);
    t.regex(stdout, /^cpu\/1 /m);
    t.regex(stdout, /^ {4}\[5\] {2}selector 0x96 {2}base 0x97 {2}limit 0x98 {2}flags 0x99$/m);
  });
});

test('info --device --json has every value whole: 64-bit integers as decimal text, bytes in hexadecimal', async (t) => {
  await withStream(SECTIONS, async (path) => {
    const { code, json } = await runCli(['info', '--json', '--device', 'virtio-net', path]);
    t.is(code, 0);
    t.like(json(), { schemaVersion: 1, path, undescribed: [], problems: [] });
    t.like(json(), {
      devices: [
        {
          name: '0000:00:02.0/virtio-net',
          instanceId: 0,
          version: 11,
          vmsdName: 'virtio-net',
          size: 1073,
          early: false,
          rest: null,
          problem: null,
          fields: [
            { name: 'features', type: 'uint64', size: 8, value: '18446744073709551614' },
            {
              name: 'pairs',
              value: [
                { vmsdName: 'pair', fields: [{ value: true }, { value: -1 }] },
                { version: 1 },
                { version: 1 },
              ],
            },
            { name: 'config', value: 'ab'.repeat(40) },
            { name: 'queue', value: '00'.repeat(1000) },
          ],
          subsections: [{ vmsdName: 'net/more', version: 2, fields: [{ name: 'list', value: '0009' }] }],
        },
      ],
    });
    const all = await runCli(['info', '--json', '--devices', path]);
    await using snapshot = await Snapshot.open(path);
    const { devices } = await snapshot.devices();
    const listed = all.json()['devices'];
    t.is(Array.isArray(listed) ? listed.length : 0, devices.length);
  });
});

test('info --cpus shows the registers of every CPU', async (t) => {
  await withStream(SECTIONS, async (path) => {
    const { code, stdout, stderr } = await runCli(['info', '--cpus', path]);
    t.is(code, 0, stderr);
    t.regex(stdout, /^CPU 0$/m);
    t.regex(stdout, /^CPU 1, halted$/m);
    t.regex(stdout, /^rax +0{15}1 +rbx +0{15}4 +rcx +0{15}2 +rdx +0{15}3$/m);
    t.regex(stdout, /^gs +0096 +base 0{14}97 +limit 00000098 +flags 000000$/m);
    t.regex(stdout, /^gdt +base 0{14}dd +limit 000000de$/m);
    t.regex(stdout, /^cr0 +0{13}192 +cr2 +0{13}193 +cr3 +0{13}194 +cr4 +0{13}195$/m);
    const { json } = await runCli(['info', '--cpus', '--json', path]);
    t.like(json(), {
      cpus: [
        { index: 0, rax: '1', gs: { selector: 150, base: '151' } },
        { index: 1, halted: true },
      ],
    });
  });
});

test('a name that no device has is an error', async (t) => {
  await withStream(SECTIONS, async (path) => {
    const { code, stdout, stderr } = await runCli(['info', '--device', 'virtio-ent', path]);
    t.is(code, 1);
    t.is(stdout, '');
    t.regex(stderr, /there is no device 'virtio-ent'; did you mean virtio-net\?/);
    const far = await runCli(['info', '--device', 'something else', path]);
    t.is(far.code, 1);
    t.regex(far.stderr, /there is no device 'something else' \[/);
  });
});

test('CPUs that are not x86 have no registers to show', async (t) => {
  await withStream([{ ...NET, name: 'cpu' }], async (path) => {
    const { code, stderr } = await runCli(['info', '--cpus', path]);
    t.is(code, 1);
    t.regex(stderr, /ERR_MAPPED_RAM_UNSUPPORTED/);
  });
});

test('one thing can be asked for at a time', async (t) => {
  for (const args of [
    ['--devices', '--cpus'],
    ['--devices', '--device', 'cpu'],
    ['--cpus', '--device', 'cpu'],
  ]) {
    const { code, stderr } = await runCli(['info', 'x', ...args]);
    t.is(code, 2);
    t.regex(stderr, /exclude each other/);
  }
});

test('without a vmdescription the sections are listed, the reason is said, and the exit code is 4', async (t) => {
  await withStream(SECTIONS, async (_path, dir) => {
    const { bytes, descriptionOffset } = deviceStream(SECTIONS);
    await writeFile(dir.file('cut'), bytes.subarray(0, descriptionOffset));
    const { code, stdout } = await runCli(['info', '--devices', dir.file('cut')]);
    t.is(code, 4);
    t.regex(stdout, /^0000:00:02\.0\/virtio-net +0 +11 +0x[0-9a-f]+ +1,073 +not described$/m);
    t.regex(stdout, /^problem: .*without a vmdescription device sections cannot be measured$/m);
    const one = await runCli(['info', '--device', 'virtio-net', dir.file('cut')]);
    t.is(one.code, 4);
    t.regex(
      one.stdout,
      /^0000:00:02\.0\/virtio-net\/0 {2}version 11, 1,073 bytes at 0x[0-9a-f]+: not described$/m,
    );
    const none = await runCli(['info', '--device', 'nope', dir.file('cut')]);
    t.is(none.code, 4);
    t.regex(none.stdout, /^there is no device 'nope' in what can be read\nproblem: .*cannot be measured$/m);
    const cpus = await runCli(['info', '--cpus', dir.file('cut')]);
    t.is(cpus.code, 4);
    t.regex(cpus.stderr, /ERR_MAPPED_RAM_INCOMPLETE/);
  });
});

test('a device that its description does not fit is shown with what is left over', async (t) => {
  const longer = { ...NET, body: Buffer.concat([NET.body, Buffer.from('c0ffee', 'hex')]) };
  await withStream([longer], async (path) => {
    const { code, stdout } = await runCli(['info', '--device', 'virtio-net', path]);
    t.is(code, 4);
    t.regex(stdout, /^ {2}not decoded {2}c0ffee$/m);
    t.regex(stdout, /^problem: .*the description ends before the section/m);
    const table = await runCli(['info', '--devices', path]);
    t.regex(table.stdout, / does not fit$/m);
  });
});

test('names in a file cannot write to the terminal as they please', async (t) => {
  const evil = {
    vmsd_name: 'x',
    version: 11,
    fields: [{ name: 'a\u001B[2Jb', type: 'buff\u0007er', size: NET.body.length }],
  };
  await withStream([{ ...NET, description: evil }], async (path) => {
    const { stdout } = await runCli(['info', '--device', 'virtio-net', path]);
    t.false(stdout.includes('\u001B') || stdout.includes('\u0007'));
    t.true(stdout.includes('a\\u001b[2Jb'));
  });
});
