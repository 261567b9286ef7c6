import { readdir, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';

import test from 'ava';

import { Snapshot } from '../../ts/index.ts';
import { PAGE, syntheticState, writeRam } from '../support/synthetic.ts';
import { BLOCK, fixture, PAGES } from './cli-fixtures.ts';
import { runCli } from './run-cli.ts';

test('pack and unpack are each other’s inverse', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const [target, copy, copyState] = [dir.file('new.mr'), dir.file('copy.ram'), dir.file('copy.state')];
  const packed = await runCli(['pack', target, '--state', state, '--ram', `${BLOCK}=${ram}`]);
  t.is(packed.code, 0, packed.stderr);
  t.is(packed.stderr, '');
  t.regex(packed.stdout, /^packed +.*new\.mr, apparent size 3 MiB$/m);
  t.regex(packed.stdout, /^blocks +pc\.ram \(2 MiB\)$/m);
  t.regex(packed.stdout, /^written +1\.33 MiB in .*, the other 684 KiB are zero pages$/m);
  t.regex(packed.stdout, /^I\/O engine +(io_uring|threads) \(.+\)$/m);
  t.regex(packed.stdout, /^direct I\/O +(on|off) \(.+\)$/m);

  const args = ['unpack', target, '--ram', `${BLOCK}=${copy}`, '--state', copyState];
  const unpacked = await runCli(args);
  t.is(unpacked.code, 0, unpacked.stderr);
  t.regex(unpacked.stdout, /^pc\.ram +.*copy\.ram \(2 MiB\)$/m);
  t.regex(unpacked.stdout, /^state +.*copy\.state$/m);
  t.is(Buffer.compare(await readFile(ram), await readFile(copy)), 0);

  const again = await runCli([
    'pack',
    dir.file('again.mr'),
    '--state',
    copyState,
    '--ram',
    `${BLOCK}=${copy}`,
  ]);
  t.is(again.code, 0, again.stderr);
  t.is(Buffer.compare(await readFile(target), await readFile(dir.file('again.mr'))), 0);
});

test('--json prints what the API returns', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const target = dir.file('new.mr');
  const options = ['--channels', '2', '--queue-depth', '4', '--request-size', '64K'];
  const how = ['--io-engine', 'threads', '--direct-io', 'off', '--json'];
  const packed = await runCli([
    'pack',
    target,
    '--state',
    state,
    '--ram',
    `${BLOCK}=${ram}`,
    ...options,
    ...how,
  ]);
  t.is(packed.code, 0, packed.stderr);
  t.is(packed.stderr, '');
  t.like(packed.json(), {
    schemaVersion: 1,
    path: target,
    offset: 0,
    blocks: [{ id: BLOCK, length: PAGES * PAGE }],
    transfer: { ioEngine: 'threads', directIo: false, channels: 2, requestSize: 65536, bytes: PAGES * PAGE },
  });
  const unpacked = await runCli(['unpack', target, '--json', '--state', dir.file('all.state')]);
  t.is(unpacked.code, 0, unpacked.stderr);
  t.like(unpacked.json(), { schemaVersion: 1, blocks: [], blocksInState: [BLOCK], transfer: null });
  // The state is read as every other place: a path, or a URI.
  await writeFile(dir.file('container'), 'prefix');
  const container = await runCli(['unpack', target, '--state', `file:${dir.file('container')},offset=6`]);
  t.is(container.code, 0, container.stderr);
  const prefixed = Buffer.concat([Buffer.from('prefix'), await readFile(dir.file('all.state'))]);
  t.is(Buffer.compare(await readFile(dir.file('container')), prefixed), 0);
});

test('--quiet prints nothing', async (t) => {
  await using given = await fixture();
  const ram = given.dir.file('quiet.ram');
  const { code, stdout, stderr } = await runCli([
    'unpack',
    given.snapshot,
    '--quiet',
    '--ram',
    `${BLOCK}=${ram}`,
  ]);
  t.deepEqual([code, stdout, stderr], [0, '', '']);
  t.is((await stat(ram)).size, PAGES * PAGE);
});

test('existing files are replaced only with --force', async (t) => {
  await using given = await fixture();
  const { dir, state, ram, snapshot } = given;
  const before = await readFile(snapshot);
  const pack = ['pack', snapshot, '--state', state, '--ram', `${BLOCK}=${ram}`];
  const refused = await runCli(pack);
  t.is(refused.code, 1);
  t.regex(
    refused.stderr,
    /guest\.mr: .*exists already.*\[ERR_MAPPED_RAM_EXISTS\]\nhint: --force replaces it\n$/,
  );
  t.is(Buffer.compare(before, await readFile(snapshot)), 0);
  const unpack = ['unpack', snapshot, '--ram', `${BLOCK}=${ram}`];
  const { code, json } = await runCli([...unpack, '--json']);
  t.is(code, 1);
  t.like(json(), { error: { code: 'ERR_MAPPED_RAM_EXISTS', path: ram } });
  t.is((await runCli([...pack, '--force'])).code, 0);
  t.is((await runCli([...unpack, '--force'])).code, 0);
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'guest.ram', 'guest.state']);
});

test('--offset and ,offset= put the snapshot behind what is kept', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const inputs = ['--state', state, '--ram', `${BLOCK}=${ram}`];
  const [left, right] = [dir.file('left'), dir.file('right')];
  await writeFile(left, Buffer.alloc(8192, 'L'));
  await writeFile(right, Buffer.alloc(8192, 'L'));
  const byOption = await runCli(['pack', left, '--offset', '8K', ...inputs, '--json']);
  t.is(byOption.code, 0, byOption.stdout);
  t.like(byOption.json(), { offset: 8192, path: left });
  const byUri = await runCli(['pack', `file:${right},offset=8K`, ...inputs]);
  t.is(byUri.code, 0, byUri.stderr);
  t.is(Buffer.compare(await readFile(left), await readFile(right)), 0);
  t.true((await readFile(left)).subarray(0, 8192).every((byte) => byte === 0x4c));
  t.is((await runCli(['info', `file:${left},offset=8K`])).code, 0);
  const blind = await runCli(['info', left]);
  t.is(blind.code, 4);
  t.regex(blind.stderr, /hint: .*offset=BYTES/);
});

test('--store-zero-pages decides which zero pages are in the file', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const inputs = ['--state', state, '--ram', `${BLOCK}=${ram}`, '--force'];
  for (const [which, set] of [
    ['firmware', 341],
    ['all', 512],
    [BLOCK, 512],
  ] as const) {
    const target = dir.file('zero.mr');
    const { code, stderr } = await runCli(['pack', target, ...inputs, '--store-zero-pages', which]);
    t.is(code, 0, stderr);
    await using snapshot = await Snapshot.open(target);
    t.is((await snapshot.info()).blocks[0]?.setPages, set, which);
  }
});

test('paths may hold anything, and the first = ends the block', async (t) => {
  await using given = await fixture();
  const { dir, state, ram, snapshot } = given;
  const odd = dir.file('RAM, größer=快 "x".ram');
  await rename(ram, odd);
  const target = dir.file('Schnapp, schuss=1.mr');
  const packed = await runCli(['pack', target, `--ram=${BLOCK}=${odd}`, `--state=${state}`]);
  t.is(packed.code, 0, packed.stderr);
  t.is(Buffer.compare(await readFile(target), await readFile(snapshot)), 0);
});

test('RAM that does not fit the state is refused with the blocks that there are', async (t) => {
  await using given = await fixture();
  const { dir, state, ram, snapshot } = given;
  const target = dir.file('new.mr');
  const unknown = await runCli(['pack', target, '--state', state, '--ram', `m0=${ram}`]);
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /no such RAM block: expected one of pc\.ram, found m0/);
  const missing = await runCli(['pack', target, '--state', state]);
  t.is(missing.code, 1);
  t.regex(missing.stderr, /the memory of block pc\.ram is missing/);
  const mapped = await runCli(['pack', target, '--state', snapshot, '--ram', `${BLOCK}=${ram}`]);
  t.is(mapped.code, 1);
  t.regex(mapped.stderr, /expected a plain file: migration, found a mapped-ram file/);
  await truncate(ram, PAGE);
  const short = await runCli(['pack', target, '--state', state, '--ram', `${BLOCK}=${ram}`]);
  t.is(short.code, 4);
  t.regex(short.stderr, /guest\.ram/);
  t.false((await readdir(dir.path)).includes('new.mr'));
});

test('a state that is cut off is refused, and so is a snapshot', async (t) => {
  await using given = await fixture();
  const { dir, state, ram, snapshot } = given;
  for (const [name, args] of [
    [state, ['pack', dir.file('new.mr'), '--state', state, '--ram', `${BLOCK}=${ram}`]],
    [snapshot, ['unpack', snapshot, '--ram', `${BLOCK}=${dir.file('new.ram')}`]],
  ] as const) {
    const { size } = await stat(name);
    const bytes = await readFile(name);
    const { length } = await descriptionOf(name);
    for (const cut of [length, length + 1, length + 20]) {
      await writeFile(name, bytes.subarray(0, size - cut));
      const { code, stdout, json } = await runCli([...args, '--json']);
      t.is(code, 4, `${name} without its last ${cut} bytes`);
      // The message names the place, and so do the members.
      const [, offset] = /, offset (\d+) \(/.exec(stdout) ?? [];
      t.like(json(), {
        error: { code: 'ERR_MAPPED_RAM_INCOMPLETE', path: name, offset: Number(offset) },
      });
    }
    await writeFile(name, bytes.subarray(0, 60));
    t.is((await runCli(args)).code, 4);
  }
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'guest.ram', 'guest.state']);
});

/** The length of a stream's end: of the vmdescription and the byte before it. */
async function descriptionOf(path: string): Promise<{ readonly length: number }> {
  await using snapshot = await Snapshot.open(path);
  return { length: (snapshot.index.vmdescription?.length ?? 0) + 1 };
}

test('a snapshot that cannot be written says where and why', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const inputs = ['--state', state, '--ram', `${BLOCK}=${ram}`];
  const nowhere = await runCli(['pack', dir.file('none/new.mr'), ...inputs]);
  t.is(nowhere.code, 1);
  t.regex(nowhere.stderr, /none\/new\.mr: .*\(.*no such file/i);
  const folder = await runCli(['pack', dir.path, ...inputs, '--force']);
  t.is(folder.code, 1);
  t.true(folder.stderr.includes(dir.path));
  t.deepEqual((await readdir(dir.path)).toSorted(), ['guest.mr', 'guest.ram', 'guest.state']);
});

test('pages that the state brings along need no --ram', async (t) => {
  await using given = await fixture();
  const { dir, state, ram } = given;
  const blocks = [
    { id: BLOCK, length: PAGES * PAGE },
    { id: 'pc.bios', length: 4 * PAGE },
  ];
  const bytes = Buffer.alloc(PAGE, 7);
  await writeFile(state, syntheticState({ blocks, pages: [{ block: 'pc.bios', offset: PAGE, bytes }] }));
  await writeRam(ram, PAGES, (page) => page === 1);
  const { code, json } = await runCli([
    'pack',
    dir.file('two.mr'),
    '--state',
    state,
    '--ram',
    `${BLOCK}=${ram}`,
    '--json',
  ]);
  t.is(code, 0);
  t.like(json(), { blocks, transfer: { dataBytes: 2 * PAGE } });
});
