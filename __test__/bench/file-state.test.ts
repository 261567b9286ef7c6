import { readFile, stat, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';

import test from 'ava';

import { copyThroughCache, putInState } from '../../ts/bench/file-state.ts';
import { pageCacheState } from '../../ts/engine/page-cache.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;
const SIGNAL = new AbortController().signal;

/** A file of data and zeros, which does not end with a whole page. */
async function writeSource(dir: TemporaryDirectory): Promise<Buffer> {
  const bytes = Buffer.concat([randomBytes(3 * MIB), Buffer.alloc(5 * MIB), randomBytes(MIB + 5000)]);
  await writeFile(dir.file('source'), bytes);
  return bytes;
}

test.serial('a cold file is in no cache, and a warm one is in the page cache', async (t) => {
  await using dir = await temporaryDirectory();
  const bytes = await writeSource(dir);
  const path = dir.file('source');
  const cached = (): number => pageCacheState(path)?.cachedBytes ?? Number.NaN;
  for (let again = 0; again < 2; again += 1) {
    t.is(await putInState(path, 'cold', dir.file('copy'), SIGNAL), path);
    t.is(cached(), 0);
    t.is(await putInState(path, 'warm', dir.file('copy'), SIGNAL), path);
    t.true(cached() >= bytes.length, `${cached()}`);
  }
});

test.serial('a dirty file is a copy in the page cache that is not on the disk, with holes', async (t) => {
  await using dir = await temporaryDirectory();
  const bytes = await writeSource(dir);
  const [path, copy] = [dir.file('source'), dir.file('copy')];
  for (let again = 0; again < 2; again += 1) {
    t.is(await putInState(path, 'dirty', copy, SIGNAL), copy);
    const { dirtyBytes, writebackBytes } = pageCacheState(copy) ?? {};
    // A kernel before Linux 6.5 does not tell.
    if (dirtyBytes !== undefined) t.true(dirtyBytes + (writebackBytes ?? 0) >= 4 * MIB, `${dirtyBytes}`);
    t.true(bytes.equals(await readFile(copy)));
  }
  t.true((await stat(copy)).blocks * 512 < 5 * MIB);
});

test.serial('a copy of memory keeps zero pages that were written', async (t) => {
  await using dir = await temporaryDirectory();
  const bytes = await writeSource(dir);
  await copyThroughCache(dir.file('source'), dir.file('copy'), SIGNAL, true);
  t.true(bytes.equals(await readFile(dir.file('copy'))));
  t.true((await stat(dir.file('copy'))).blocks * 512 >= bytes.length);
});

test.serial('a file that is not there cannot be put in any state', async (t) => {
  await using dir = await temporaryDirectory();
  for (const state of ['cold', 'warm', 'dirty'] as const) {
    const error = await t.throwsAsync(putInState(dir.file('none'), state, dir.file('copy'), SIGNAL));
    t.like(error, { code: 'ERR_MAPPED_RAM_IO', path: dir.file('none') });
  }
});
