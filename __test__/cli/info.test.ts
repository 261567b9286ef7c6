import { mkdir, readFile, rename, truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { Snapshot } from '../../ts/index.ts';
import { syntheticState } from '../support/synthetic.ts';
import { BLOCK, fixture, PAGES } from './cli-fixtures.ts';
import { runCli, spawnCli } from './run-cli.ts';

const SET = PAGES - Math.ceil(PAGES / 3);

test('info prints what a snapshot holds', async (t) => {
  await using given = await fixture();
  const { code, stdout, stderr } = await runCli(['info', given.snapshot]);
  t.is(code, 0);
  t.is(stderr, '');
  t.regex(stdout, /^form +mapped-ram$/m);
  t.regex(stdout, /^complete +yes$/m);
  t.regex(stdout, /^machine +pc-q35-10\.0$/m);
  t.regex(stdout, /^memory +2 MiB in 1 block: 341 pages in the file, 171 zero$/m);
  t.regex(stdout, /^pc\.ram +2 MiB +341 +171 +0x[0-9a-f]+ +0x100000 +1 MiB$/m);
  t.regex(stdout, /^test-device +0 +1 +\d+ +0x[0-9a-f]+$/m);
  t.false(stdout.includes('\u001B'));
});

test('info --json prints one object, the same that the API gives', async (t) => {
  await using given = await fixture();
  const { code, json, stderr } = await runCli(['info', '--json', given.snapshot]);
  t.is(code, 0);
  t.is(stderr, '');
  await using snapshot = await Snapshot.open(given.snapshot);
  const { blocks, ...info } = await snapshot.info();
  t.deepEqual(json(), {
    schemaVersion: 1,
    ...info,
    blocks: blocks.map((block) => Object.assign(block, { changedPages: null })),
    base: null,
    problem: null,
    runState: null,
    libvirt: null,
  });
  t.like(json(), {
    form: 'mapped-ram',
    complete: true,
    blocks: [{ id: BLOCK, setPages: SET }],
    warnings: [],
  });
});

test('info --quiet says only by its exit code whether a snapshot is complete', async (t) => {
  await using given = await fixture();
  const whole = await runCli(['info', '--quiet', given.snapshot]);
  t.deepEqual([whole.code, whole.stdout, whole.stderr], [0, '', '']);
  await truncate(given.snapshot, 2 * 1024 * 1024);
  const cut = await runCli(['info', '--quiet', given.snapshot]);
  t.deepEqual([cut.code, cut.stdout, cut.stderr], [4, '', '']);
});

for (const name of [
  'a snapshot, with blanks.mr',
  'Gäste-快照-🦊.mr',
  'it\'s $HOME;"x".mr',
  '-dash.mr',
  '%41=b.mr',
]) {
  test(`file names need no care: ${name}`, async (t) => {
    await using given = await fixture();
    await rename(given.snapshot, given.dir.file(name));
    const relative = await runCli(['info', '--json', '--', name], { cwd: given.dir.path });
    t.is(relative.code, 0, relative.stderr);
    t.is(relative.json()['path'], name);
    const uri = await runCli(['info', '--json', `file:${given.dir.file(name)}`]);
    t.is(uri.code, 0, uri.stderr);
  });
}

test('a plain stream is shown as what it is', async (t) => {
  await using given = await fixture();
  const { code, stdout } = await runCli(['info', given.state]);
  t.is(code, 0);
  t.regex(stdout, /^form +plain migration stream \(not mapped-ram\)$/m);
  t.regex(stdout, /^pc\.ram +2 MiB$/m);
});

test('what is no snapshot is refused with a hint', async (t) => {
  await using given = await fixture();
  const { dir } = given;
  await mkdir(dir.file('folder'));
  await writeFile(dir.file('empty'), '');
  await writeFile(dir.file('text'), 'This is a text file, and a long one at that.\n'.repeat(100));
  await writeFile(dir.file('controls\u001B[31m'), 'garbage');
  const cases: readonly (readonly [name: string, code: number, error: string, text: RegExp])[] = [
    ['none', 1, 'ERR_MAPPED_RAM_IO', /no such file/],
    [
      'folder',
      1,
      'ERR_MAPPED_RAM_UNSUPPORTED',
      /expected a regular file or a block device, found a directory/,
    ],
    ['empty', 4, 'ERR_MAPPED_RAM_TRUNCATED', /ends too early/],
    ['text', 4, 'ERR_MAPPED_RAM_BAD_MAGIC', /not a QEMU migration stream[^]*hint: .*offset=/],
    ['controls\u001B[31m', 4, 'ERR_MAPPED_RAM_BAD_MAGIC', /controls\\u001b\[31m/],
  ];
  for (const [name, code, error, text] of cases) {
    const people = await runCli(['info', dir.file(name)]);
    t.is(people.code, code, name);
    t.is(people.stdout, '');
    t.regex(people.stderr, text);
    t.true(people.stderr.includes(`[${error}]`));
    t.notRegex(people.stderr, /^\s+at /m);
    const machine = await runCli(['info', '--json', dir.file(name)]);
    t.is(machine.code, code, name);
    t.is(machine.stderr, '');
    t.like(machine.json(), { schemaVersion: 1, error: { code: error, path: dir.file(name) } });
  }
});

test('a URI that cannot be is wrong usage', async (t) => {
  const { code, json } = await runCli(['info', '--json', 'file:x,offset=1MB']);
  t.is(code, 2);
  t.like(json(), { error: { code: 'ERR_MAPPED_RAM_INVALID_URI', path: 'file:x,offset=1MB' } });
});

test('wherever a snapshot is cut off, info says so and exits with 4', async (t) => {
  await using given = await fixture();
  await using snapshot = await Snapshot.open(given.snapshot);
  const { size, eofOffset = 0, sections, ram } = snapshot.index;
  const bytes = await readFile(given.snapshot);
  const section = sections[0]?.offset ?? 0;
  const pages = ram?.form === 'mapped-ram' ? (ram.blocks[0]?.area.pagesOffset ?? 0) : 0;
  const points = [
    0,
    1,
    7,
    8,
    20,
    60,
    80,
    139,
    150,
    200,
    pages - 1,
    pages,
    pages + 4096,
    pages + PAGES * 4096,
  ];
  for (const point of [...points, section, section + 9, section + 24, eofOffset - 1, eofOffset]) {
    t.true(point < size);
    await writeFile(given.snapshot, bytes.subarray(0, point));
    const { code, json, stderr } = await runCli(['info', '--json', given.snapshot]);
    t.is(code, 4, `cut at ${point}: ${stderr}`);
    const { complete, error } = json();
    t.true(complete === false || error !== undefined);
  }
});

test('an incomplete snapshot is shown as far as it goes, with the reason', async (t) => {
  await using given = await fixture();
  await using snapshot = await Snapshot.open(given.snapshot);
  await truncate(given.snapshot, (snapshot.index.sections[0]?.offset ?? 0) + 9);
  const { code, stdout, stderr } = await runCli(['info', given.snapshot]);
  t.is(code, 4);
  t.is(stderr, '');
  t.regex(stdout, /^complete +no — offset \d+ \(0x[0-9a-f]+\): the file ends too early/m);
  t.regex(stdout, /^pc\.ram +2 MiB +341 +171 /m);
  const { json } = await runCli(['info', '--json', given.snapshot]);
  t.like(json(), { complete: false, problem: { code: 'ERR_MAPPED_RAM_TRUNCATED' }, blocks: [{ id: BLOCK }] });
});

test('a reader that goes away early is no error', async (t) => {
  await using given = await fixture();
  const blocks = Array.from({ length: 3000 }, (_, index) => ({ id: `block-${index}`, length: 4096 }));
  await writeFile(given.state, syntheticState({ blocks }));
  const child = spawnCli(['info', given.state]);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdout?.destroy();
  const code = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  t.is(stderr, '');
  t.is(code, 0);
});

test('--verbose adds the causes', async (t) => {
  await using given = await fixture();
  const args = ['info', given.dir.file('none')];
  t.notRegex((await runCli(args)).stderr, /caused by/);
  t.regex((await runCli([...args, '--verbose'])).stderr, /^caused by: .*\[ENOENT\]$/m);
  const { json } = await runCli([...args, '--verbose', '--json']);
  t.like(json(), { error: { causes: [{ code: 'ENOENT' }] } });
});
