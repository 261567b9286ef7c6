import { readdir, readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { PAGE } from '../support/synthetic.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { writeGenerated } from '../pages/generated-snapshot.ts';
import { BLOCK, fixture, PAGES } from './cli-fixtures.ts';
import { runCli } from './run-cli.ts';

test('extract writes a block, and says what it did', async (t) => {
  await using given = await fixture();
  const output = given.dir.file('pc.ram');
  const args = ['extract', given.snapshot, '--format', 'raw', '--block', BLOCK, '-o', output];
  const { code, stdout, stderr } = await runCli(args);
  t.is(code, 0, stderr);
  t.is(stderr, '');
  t.regex(stdout, /^extracted +.*pc\.ram, apparent size 2 MiB$/m);
  t.regex(stdout, /^read +1\.33 MiB in .*, the other 684 KiB are zero pages$/m);
  t.regex(stdout, /^pc\.ram +0x0 +2 MiB +0x0$/m);
  t.is(Buffer.compare(await readFile(output), await readFile(given.ram)), 0);
  const refused = await runCli(args);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /\[ERR_MAPPED_RAM_EXISTS\]\nhint: --force replaces it\n$/);
  const quiet = await runCli([...args, '--force', '--quiet', '--io-engine', 'threads', '--channels', '2']);
  t.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, '', '']);
});

test('extract --json has everything, and what was assumed', async (t) => {
  await using given = await fixture();
  const output = given.dir.file('all.raw');
  const args = ['extract', given.snapshot, '--format', 'raw', '--output', output, '--json'];
  const { code, json, stdout } = await runCli([
    ...args,
    '--low-memory',
    '1MiB',
    '--high-memory',
    '0x100000000',
  ]);
  t.is(code, 0, stdout);
  t.like(json(), {
    schemaVersion: 1,
    path: given.snapshot,
    output,
    format: 'raw',
    size: 2 ** 32 + 2 ** 20,
    ranges: [
      { address: 0, length: 2 ** 20, block: BLOCK, offset: 0, fileOffset: 0 },
      { address: 2 ** 32, length: 2 ** 20, block: BLOCK, offset: 2 ** 20, fileOffset: 2 ** 32 },
    ],
    cpus: 0,
    transfer: { bytes: PAGES * PAGE },
  });
  t.regex(JSON.stringify(json()['assumptions']), /no host bridge/);
  const assumed = await runCli(['extract', given.snapshot, '--format', 'raw', '-o', output, '--force']);
  t.regex(assumed.stdout, /^assumed: RAM below 4 GiB ends at 2097152, as it does without max-ram-below-4g/m);
});

test('extract refuses what makes no sense, by the names of the options', async (t) => {
  await using given = await fixture();
  const run = async (...args: readonly string[]): Promise<string> => {
    const { code, stderr } = await runCli(['extract', given.snapshot, '-o', given.dir.file('out'), ...args]);
    t.is(code, 2, stderr);
    return stderr;
  };
  t.regex(await run(), /--format raw\|elf is missing/);
  t.regex(await run('--format', 'qcow2'), /--format must be raw or elf, not 'qcow2'/);
  t.regex(await run('--format', 'elf', '--block', BLOCK), /--block is for --format raw/);
  t.regex(await run('--format', 'raw', '--block', BLOCK, '--low-memory', '1G'), /--low-memory is about/);
  t.regex(await run('--format', 'raw', '--low-memory', '1GB'), /--low-memory: '1GB' is ambiguous/);
  const noCpu = await runCli(['extract', given.snapshot, '--format', 'elf', '-o', given.dir.file('out')]);
  t.is(noCpu.code, 4);
  t.regex(noCpu.stderr, /ERR_MAPPED_RAM_INCOMPLETE/);
  t.deepEqual((await readdir(given.dir.path)).toSorted(), ['guest.mr', 'guest.ram', 'guest.state']);
});

test('SIGINT in the middle of an extract leaves nothing behind', async (t) => {
  await using inputs = await temporaryDirectory();
  await using outputs = await temporaryDirectory();
  const [path, pages] = [inputs.file('guest.mr'), 20_000];
  const set = Array.from({ length: pages }, (_, page) => page);
  await writeGenerated(path, { blocks: [{ id: 'm0', pages, set, stale: [] }] });
  const slowly = ['--channels', '1', '--queue-depth', '1', '--request-size', '4K', '--direct-io', 'on'];
  const args = ['extract', path, '--format', 'raw', '--block', 'm0', '-o', outputs.file('out'), ...slowly];
  const { code, stderr } = await runCli([...args, '--io-engine', 'threads'], {
    meanwhile: async (child) => {
      while ((await written(outputs)) === 0) {
        if (child.exitCode !== null) throw new Error(`extract has ended already, with ${child.exitCode}`);
        await delay(2);
      }
      child.kill('SIGINT');
    },
  });
  t.is(code, 130, stderr);
  t.is(stderr, 'mapped-ram: interrupted by SIGINT\n');
  t.deepEqual(await readdir(outputs.path), []);
});

/** The room on the disk of the file that is being written, in blocks of 512 bytes. */
async function written(directory: TemporaryDirectory): Promise<number> {
  const [name] = await readdir(directory.path);
  return name === undefined ? 0 : (await stat(directory.file(name))).blocks;
}
