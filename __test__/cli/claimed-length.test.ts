import { existsSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

import test from 'ava';

import { writeSparseSnapshot } from '../helpers/sparse-snapshot.ts';
import { temporaryDirectory } from '../helpers/temporary.ts';
import { runCli } from './run-cli.ts';

/** Has files with holes of any size, which disks often have not. */
const TMPFS = '/dev/shm';
const OVERCOMMIT = '/proc/sys/vm/overcommit_memory';
/** Near the largest offset that a number holds exactly. */
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
