import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { writeSparseSnapshot } from '../support/sparse-snapshot.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { runCli } from './run-cli.ts';

/** A tmpfs holds files with holes of any size; many filesystems on disks do not. */
const TMPFS = '/dev/shm';
const OVERCOMMIT = '/proc/sys/vm/overcommit_memory';
/** Length of the block in bytes, near the largest offset that a number holds exactly. */
const LENGTH = 7 * 2 ** 50;
const BITMAP = LENGTH / 4096 / 8;

function grantsAnything(): boolean {
  return totalmem() >= BITMAP || readFileSync(OVERCOMMIT, 'utf8').trim() === '1';
}

test('a block whose bitmap does not fit into memory is an error and ends no process', async (t) => {
  if (!existsSync(TMPFS) || grantsAnything()) {
    t.log('skipped: no tmpfs, or memory for any bitmap');
    t.pass();
    return;
  }
  await using dir = await temporaryDirectory(TMPFS);
  const path = dir.file('claims.mr');
  await writeSparseSnapshot(path, LENGTH);
  for (const args of [
    ['convert', path, dir.file('converted.mr')],
    ['diff', path, path],
    ['extract', path, '--format', 'raw', '--block', 'pc.ram', '--output', dir.file('extracted')],
  ]) {
    const { code, signal, stderr } = await runCli(args);
    t.deepEqual({ code, signal }, { code: 1, signal: null }, stderr);
    t.true(
      stderr.includes(`the bitmap of block pc.ram does not fit in memory: found ${BITMAP} bytes`),
      stderr,
    );
    t.true(stderr.includes('ERR_MAPPED_RAM_OUT_OF_RANGE'), stderr);
  }
});

const BIN = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
/** The command line; at its end it prints the peak of its own resident memory in KiB. */
const MEASURED = `
process.argv.splice(1, 0, ${JSON.stringify(BIN)});
process.once('exit', () => process.stderr.write('maxrss=' + process.resourceUsage().maxRSS));
await import(${JSON.stringify(BIN)});
`;

test('memory goes by what a file holds, not by what its blocks claim', async (t) => {
  if (!existsSync(TMPFS)) {
    t.log('skipped: no tmpfs');
    t.pass();
    return;
  }
  await using dir = await temporaryDirectory(TMPFS);
  const path = dir.file('claims.mr');
  const length = 8 * 2 ** 40;
  await writeSparseSnapshot(path, length);
  for (const args of [
    ['verify', path],
    ['diff', path, path],
    ['extract', path, '--format', 'raw', '--block', 'pc.ram', '--output', dir.file('extracted')],
    ['convert', path, dir.file('converted.mr')],
  ]) {
    const node = ['--input-type=module', '--eval', MEASURED, '--', ...args];
    const { stderr } = spawnSync(process.execPath, node, { encoding: 'utf8' });
    const peak = Number(/maxrss=(\d+)/.exec(stderr)?.[1]) * 1024;
    t.log(`${args[0]}: resident at its peak: ${Math.round(peak / 2 ** 20)} MiB`);
    t.true(peak < length / 4096 / 8, stderr);
  }
});
