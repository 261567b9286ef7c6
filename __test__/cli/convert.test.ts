import { readdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { convert, Snapshot } from '../../ts/index.ts';
import { libvirtBeginning } from '../support/libvirt.ts';
import { memoryOf } from '../support/memory-of.ts';
import { plainStream, type PageWrite } from '../support/plain-stream.ts';
import { PAGE, testPage } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { runCli, spawnCli } from './run-cli.ts';

const PAGES = 30;

interface Example extends AsyncDisposable {
  readonly dir: TemporaryDirectory;
  readonly stream: string;
  readonly mapped: string;
  readonly memory: ReadonlyMap<string, Buffer>;
}

async function example(): Promise<Example> {
  const dir = await temporaryDirectory();
  const writes = Array.from({ length: PAGES }, (_, page): PageWrite => {
    return { block: 'pc.ram', page, bytes: testPage(page), kind: page % 3 === 0 ? 'zero' : 'page' };
  });
  const { bytes, memory } = plainStream({
    blocks: [{ id: 'pc.ram', length: PAGES * PAGE }],
    rounds: [writes],
  });
  const [stream, mapped] = [dir.file('guest.stream'), dir.file('guest.mr')];
  await writeFile(stream, bytes);
  await convert(stream, mapped);
  return { dir, stream, mapped, memory, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

test('convert says what it has made of what, for people and as JSON', async (t) => {
  await using it = await example();
  const [first, second] = [it.dir.file('first'), it.dir.file('second')];
  const words = await runCli(['convert', it.stream, first]);
  t.is(words.code, 0, words.stderr);
  t.regex(words.stdout, /source .*guest\.stream, plain stream/);
  t.regex(words.stdout, /pages +80.* the other 40.* are zero pages/);
  t.deepEqual(await memoryOf(first), it.memory);
  const run = await runCli([
    'convert',
    first,
    `file:${second},offset=8K`,
    '--io-engine',
    'threads',
    '--json',
  ]);
  t.is(run.code, 0, run.stderr);
  t.like(run.json(), {
    schemaVersion: 1,
    path: second,
    offset: 8192,
    from: 'mapped-ram',
    to: 'mapped-ram',
    source: { path: first, offset: 0 },
    blocks: [{ id: 'pc.ram', length: PAGES * PAGE }],
    bytes: PAGES * PAGE,
    dataBytes: 20 * PAGE,
    transfer: { ioEngine: 'threads' },
  });
  t.deepEqual(await memoryOf(second, 8192), it.memory);
});

test('convert reads a stream from stdin and writes one to stdout, in pipes', async (t) => {
  await using it = await example();
  const target = it.dir.file('target');
  const out = spawnCli(['convert', it.mapped, '-', '--to', 'stream']);
  const into = spawnCli(['convert', '-', target, '--json'], { stdin: 'pipe' });
  t.truthy(out.stdout && into.stdin);
  if (out.stdout && into.stdin) out.stdout.pipe(into.stdin);
  let words = '';
  out.stderr?.setEncoding('utf8').on('data', (text: string) => (words += text));
  const codes = await Promise.all(
    [out, into].map((child) => new Promise((resolve) => child.once('close', resolve))),
  );
  t.deepEqual(codes, [0, 0]);
  t.regex(words, /result .*plain stream/);
  t.deepEqual(await memoryOf(target), it.memory);
  await using snapshot = await Snapshot.open(target);
  t.true(snapshot.index.complete);
});

test('an interrupted convert from a silent pipe ends at once and leaves nothing', async (t) => {
  await using dir = await temporaryDirectory();
  const writes = Array.from({ length: 800 }, (_, page): PageWrite => {
    return { block: 'pc.ram', page, bytes: testPage(page), kind: 'page' };
  });
  const { bytes } = plainStream({ blocks: [{ id: 'pc.ram', length: 800 * PAGE }], rounds: [writes] });
  const child = spawnCli(['convert', '-', dir.file('target')], { stdin: 'pipe' });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    // The command does not read the rest, so the write fails.
    child.stdin?.on('error', () => undefined);
    child.stdin?.write(bytes.subarray(0, 2 ** 21));
    const isThere = async (): Promise<boolean> => (await readdir(dir.path)).length > 0;
    for (let tries = 0; tries < 600 && !(await isThere()); tries += 1) await delay(50);
    t.true(await isThere());
    child.kill('SIGTERM');
    t.is(await ended, 143);
    t.deepEqual(await readdir(dir.path), []);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a cut pipe is called a stream, and no hint leads to what cannot read it', async (t) => {
  await using it = await example();
  const bytes = await readFile(it.stream);
  for (const [length, message] of [
    [
      40_000,
      /stream, offset \d+ \(0x[0-9a-f]+\): the stream ends too early: .*\nhint: .*what feeds the pipe/,
    ],
    [
      bytes.length - 1,
      /the stream is not complete: .*\nhint: the save was cancelled or cut off, or it still runs\n/,
    ],
  ] as const) {
    const child = spawnCli(['convert', '-', it.dir.file('target')], { stdin: 'pipe' });
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (words += text));
    child.stdin?.end(bytes.subarray(0, length));
    t.is(await new Promise((resolve) => child.once('close', resolve)), 4);
    t.regex(words, message);
  }
});

test('the hint about an unfinished libvirt image does not lead to what refuses it too', async (t) => {
  await using dir = await temporaryDirectory();
  const image = dir.file('save.img');
  await writeFile(image, libvirtBeginning('raw', { magic: 'LibvirtQemudPart' }));
  for (const command of ['info', 'convert']) {
    const run = await runCli([command, image, ...(command === 'convert' ? [dir.file('target')] : [])]);
    t.is(run.code, 4);
    t.regex(run.stderr, /INCOMPLETE\]\nhint: the save was cancelled or cut off, or it still runs\n$/);
  }
});

test('commands that take no plain stream name the one that makes a mapped-ram file of it', async (t) => {
  await using it = await example();
  for (const args of [
    ['verify', it.stream],
    ['unpack', it.stream, '--ram', `pc.ram=${it.dir.file('ram')}`],
    ['restore', it.stream, '--', 'qemu-system-x86_64'],
  ]) {
    const { code, stderr } = await runCli(args);
    t.is(code, 1, stderr);
    t.regex(stderr, /found a plain stream .*\nhint: mapped-ram convert makes a mapped-ram file of it\n$/);
  }
});

const WRONG: readonly (readonly [readonly string[], number, RegExp])[] = [
  [['guest.mr', '-'], 2, /only a stream goes to stdout/],
  [['guest.mr', '-', '--to', 'stream', '--json'], 2, /--json prints on stdout/],
  [['guest.mr', 'other', '--to', 'raw'], 2, /--to must be mapped-ram, stream or libvirt/],
  [['guest.mr'], 2, /<target> is missing/],
  [['guest.stream', 'guest.mr'], 1, /EXISTS/],
  [['guest.stream', 'other', '--to', 'stream'], 1, /a plain stream already/],
  [['guest.stream', 'other', '--io-engine', 'io_uring'], 1, /plain stream goes through the page cache/],
  [['guest.stream', 'other', '--channels', '4'], 1, /plain stream goes through the page cache.*channels: 4/],
  [['guest.mr', 'other', '--to', 'stream', '--store-zero-pages', 'nope'], 1, /every page has a record/],
  [['cut', 'other'], 4, /TRUNCATED/],
];

test('what goes wrong has the exit codes of the other commands', async (t) => {
  await using it = await example();
  await writeFile(it.dir.file('cut'), (await readFile(it.stream)).subarray(0, 40_000));
  const before = await readdir(it.dir.path);
  for (const [args, code, message] of WRONG) {
    const run = await runCli(['convert', ...args], { cwd: it.dir.path });
    t.is(run.code, code, args.join(' '));
    t.regex(run.stderr + run.stdout, message);
  }
  t.deepEqual(await readdir(it.dir.path), before);
  t.is((await runCli(['convert', it.stream, it.mapped, '--force'])).code, 0);
});
