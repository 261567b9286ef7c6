import { copyFile, open, readFile, truncate } from 'node:fs/promises';

import test from 'ava';

import { diff, pack } from '../../ts/index.ts';
import { diffLines } from '../../ts/cli/render/diff.ts';
import { formatShare } from '../../ts/cli/render/format.ts';
import { plain } from '../../ts/cli/render/style.ts';
import { PAGE, testPage } from '../support/synthetic.ts';
import { BLOCK, fixture, PAGES, type Fixture } from './cli-fixtures.ts';
import { runCli, spawnCli } from './run-cli.ts';

/** A second snapshot: page 1 and a byte of the device changed, pages 4 and 5 became zero, page 9 became data. */
async function changed({
  dir,
  state,
  ram,
}: Fixture): Promise<{ readonly right: string; readonly ram: string }> {
  const [right, rightRam, rightState] = [
    dir.file('right.mr'),
    dir.file('right.ram'),
    dir.file('right.state'),
  ];
  await copyFile(ram, rightRam);
  await using handle = await open(rightRam, 'r+');
  await handle.write(testPage(1000), 0, PAGE, PAGE);
  await handle.write(Buffer.alloc(2 * PAGE), 0, 2 * PAGE, 4 * PAGE);
  await handle.write(testPage(1001), 0, PAGE, 9 * PAGE);
  await copyFile(state, rightState);
  await using device = await open(rightState, 'r+');
  const at = (await readFile(rightState)).indexOf(Buffer.from('0123456789abcdef', 'hex'));
  await device.write(Uint8Array.of(0xff), 0, 1, at + 7);
  await pack(right, { state: rightState, ram: { [BLOCK]: rightRam } });
  return { right, ram: rightRam };
}

const RUNS = [
  { kind: 'changed', offset: PAGE, length: PAGE },
  { kind: 'became-zero', offset: 4 * PAGE, length: 2 * PAGE },
  { kind: 'became-data', offset: 9 * PAGE, length: PAGE },
];

test('snapshots that differ are shown, and exit with 3', async (t) => {
  await using material = await fixture();
  const { right } = await changed(material);
  const { code, stdout, stderr } = await runCli(['diff', material.snapshot, right]);
  t.is(code, 3, stderr);
  t.is(stderr, '');
  t.regex(stdout, /^result +different$/m);
  t.regex(stdout, /^pages +4 of 512 differ \(0\.8 %, 16 KiB\)$/m);
  t.regex(stdout, /^device state +1 section differs$/m);
  t.regex(stdout, /^pc\.ram +2 MiB +508 +1 +2 +1$/m);
  t.regex(stdout, /^A cell is 4 KiB/m);
  t.regex(stdout, /^pc\.ram +·█··██···█·+$/m);
  t.regex(stdout, /^test-device\/0 +1 value differs$/m);
  t.regex(stdout, /^ +value +0x123456789abcdef → 0x123456789abcdff$/m);
});

test('--json has every run of pages and every value', async (t) => {
  await using material = await fixture();
  const { right } = await changed(material);
  const { code, json, stderr } = await runCli([
    'diff',
    material.snapshot,
    right,
    '--json',
    '--io-engine',
    'threads',
  ]);
  t.is(code, 3, stderr);
  const { transfer, elapsedMs, ...rest } = json();
  t.like(transfer, { ioEngine: 'threads' });
  t.is(typeof elapsedMs, 'number');
  t.deepEqual(rest, {
    schemaVersion: 1,
    left: material.snapshot,
    right,
    equal: false,
    machines: { left: 'pc-q35-10.0', right: 'pc-q35-10.0' },
    pageSize: PAGE,
    blocks: [
      {
        id: BLOCK,
        equal: false,
        leftLength: PAGES * PAGE,
        rightLength: PAGES * PAGE,
        pages: PAGES,
        same: PAGES - 4,
        changed: 1,
        becameZero: 2,
        becameData: 1,
        onlyLeft: 0,
        onlyRight: 0,
        runs: RUNS,
      },
    ],
    notCompared: [],
    sections: [
      {
        name: 'test-device',
        instanceId: 0,
        kind: 'changed',
        versions: { left: 1, right: 1 },
        firstDifference: 7,
        fields: [{ path: 'value', left: '81985529216486895', right: '81985529216486911' }],
      },
    ],
  });
});

test('equal ones exit with 0, and say nothing when that is asked for', async (t) => {
  await using material = await fixture();
  const { code, stdout } = await runCli(['diff', material.snapshot, material.snapshot]);
  t.is(code, 0);
  t.regex(stdout, /^result +equal$/m);
  t.regex(stdout, /^pages +512 compared, all the same$/m);
  t.regex(stdout, /^device state +the same$/m);
  t.notRegex(stdout, /A cell/);
  const quiet = await runCli(['diff', material.snapshot, material.snapshot, '--quiet']);
  t.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, '', '']);
});

test('a snapshot is compared with RAM, block by block', async (t) => {
  await using material = await fixture();
  const { ram } = await changed(material);
  const same = await runCli(['diff', material.snapshot, '--ram', `${BLOCK}=${material.ram}`]);
  t.is(same.code, 0, same.stderr);
  t.regex(same.stdout, /^device state +not compared$/m);
  const { code, json } = await runCli(['diff', material.snapshot, '--ram', `${BLOCK}=${ram}`, '--json']);
  t.is(code, 3);
  const { blocks, sections, right } = json();
  t.like(blocks, [{ runs: RUNS }]);
  t.deepEqual([sections, right], [null, null]);
  const unknown = await runCli(['diff', material.snapshot, '--ram', `nope=${ram}`]);
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /nope/);
});

test('an incomplete snapshot exits with 4, whichever side it is on', async (t) => {
  await using material = await fixture();
  const cut = material.dir.file('cut.mr');
  await copyFile(material.snapshot, cut);
  await truncate(cut, 1 << 20);
  for (const args of [
    [material.snapshot, cut],
    [cut, material.snapshot],
  ]) {
    const { code, stderr } = await runCli(['diff', ...args]);
    t.is(code, 4, stderr);
    t.regex(stderr, /not complete/);
  }
});

test('a reader that stops reading early is no failure', async (t) => {
  await using material = await fixture();
  const { right } = await changed(material);
  const child = spawnCli(['diff', material.snapshot, right, '--json']);
  child.stdout?.destroy();
  const code = await new Promise((resolve) => child.once('close', resolve));
  t.is(code, 3);
});

test('a map has cells of one size for all blocks, at most eight rows of them', async (t) => {
  await using material = await fixture();
  const { right } = await changed(material);
  const result = await diff(material.snapshot, right);
  const lines = diffLines(result, plain);
  const first = lines.findIndex((line) => line.startsWith('A cell is 4 KiB'));
  const map = lines.slice(first + 1, first + 9);
  t.true(
    map.every((line) => /^(pc\.ram| {6}) {2}[·░▒▓█]{64}$/u.test(line)),
    map.join('\n'),
  );
  t.is(lines[first + 9], '');
});

test('a few pages of many are not called 0.0 %, nor nearly all of them 100.0 %', (t) => {
  const pages = 37_074;
  for (const [different, share] of [
    [12, '<0.1 %'],
    [37, '<0.1 %'],
    [38, '0.1 %'],
    [18_537, '50.0 %'],
    [37_036, '99.9 %'],
    [37_073, '>99.9 %'],
    [37_074, '100.0 %'],
  ] as const) {
    t.is(formatShare(different, pages), share, `${different} pages`);
  }
});
