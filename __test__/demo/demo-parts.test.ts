import { open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import * as fc from 'fast-check';

import { compareFiles } from '../../ts/demo/compare-files.ts';
import { choosePlaces } from '../../ts/demo/demo-places.ts';
import { fillMemory } from '../../ts/demo/fill-memory.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;

test('the first different byte is found, and so is an early end', async (t) => {
  await using dir = await temporaryDirectory();
  const [left, right] = [dir.file('left'), dir.file('right')];
  const bytes = Buffer.alloc(9 * MIB, 'abcdefg');
  await writeFile(left, bytes);
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(bytes.length - 1), { maxLength: 3 }), async (places) => {
      const other = Buffer.from(bytes);
      for (const place of places) other.writeUInt8(other.readUInt8(place) ^ 1, place);
      await writeFile(right, other);
      const expected = places.length === 0 ? undefined : Math.min(...places);
      t.is(await compareFiles(left, right, bytes.length, undefined), expected);
    }),
    { numRuns: 20 },
  );
  await writeFile(right, bytes.subarray(0, 5 * MIB + 3));
  t.is(await compareFiles(left, right, bytes.length, undefined), 5 * MIB + 3);
  t.is(await compareFiles(right, left, bytes.length, undefined), 5 * MIB + 3);
  t.is(await compareFiles(left, right, 5 * MIB, undefined), undefined);
});

test('synthetic memory has data pages that are all different, holes, and an untouched beginning', async (t) => {
  await using dir = await temporaryDirectory();
  const [path, size, from] = [dir.file('ram'), 64 * MIB, 16 * MIB];
  await fillMemory(path, size, from, undefined);
  const bytes = await readFile(path);
  t.is(bytes.length, size);
  t.true(bytes.subarray(0, from).every((byte) => byte === 0));
  const zero = Buffer.alloc(PAGE);
  const seen = new Set<string>();
  let zeroPages = 0;
  for (let at = from; at < size; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE);
    if (page.equals(zero)) zeroPages += 1;
    else seen.add(page.toString('latin1'));
  }
  const pages = (size - from) / PAGE;
  t.is(seen.size + zeroPages, pages, 'no two data pages are alike');
  t.true(zeroPages > pages / 5 && zeroPages < pages / 2, `${zeroPages} of ${pages}`);
  t.true((await stat(path)).blocks * 512 < size, 'zero pages are holes');
});

test('filling memory does not replace a file, and ends when it is told to', async (t) => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.file('there'), 'x');
  await t.throwsAsync(fillMemory(dir.file('there'), MIB, 0, undefined), { code: 'ERR_MAPPED_RAM_IO' });
  const reason = new Error('enough');
  await t.throwsAsync(fillMemory(dir.file('new'), MIB, 0, AbortSignal.abort(reason)), { is: reason });
});

test('a demo that does not fit is made smaller, and says why', async (t) => {
  await using dir = await temporaryDirectory();
  const fitting = await choosePlaces(64 * MIB, dir.path);
  t.deepEqual([fitting.size, fitting.sizeWhy, fitting.snapshotDirectory], [64 * MIB, undefined, dir.path]);
  const huge = await choosePlaces(2 ** 50, dir.path);
  t.true(huge.size >= 64 * MIB && huge.size < 2 ** 50 && huge.size % MIB === 0);
  t.regex(
    huge.sizeWhy ?? '',
    /(has \d+ MiB free of \d+ MiB needed|\d+ MiB of memory are available, \d+ MiB are|there is no )/,
  );
});

test('a file is no place for a demo', async (t) => {
  await using dir = await temporaryDirectory();
  await (await open(dir.file('file'), 'w')).close();
  await t.throwsAsync(choosePlaces(64 * MIB, dir.file('file')), { message: /not a directory/ });
  await t.throwsAsync(choosePlaces(64 * MIB, join(dir.path, 'none')), { message: /no such directory/ });
});
