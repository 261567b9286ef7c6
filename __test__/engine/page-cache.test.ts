import { open, writeFile } from 'node:fs/promises';

import test from 'ava';

import { dropPageCache, pageCacheState } from '../../ts/engine/page-cache.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MIB = 2 ** 20;

test('a file is dirty when it was written, clean when it is durable, and gone from the cache when dropped', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('x');
  await writeFile(path, Buffer.alloc(2 * MIB, 7));
  await using handle = await open(path, 'r+');
  const written = pageCacheState(path);
  t.is(written?.cachedBytes, 2 * MIB);
  if (written?.source === 'cachestat') {
    // Somebody else may make the system write everything back, but not each time.
    let unwritten = 0;
    for (let round = 0; round < 100 && unwritten === 0; round += 1) {
      // oxlint-disable-next-line no-await-in-loop -- each write is looked at by itself
      await handle.write(Buffer.alloc(10, round), 0, 10, 0);
      const { dirtyBytes = 0, writebackBytes = 0 } = pageCacheState(handle.fd) ?? {};
      unwritten = dirtyBytes + writebackBytes;
    }
    t.true(unwritten > 0);
  }
  await handle.sync();
  t.is(pageCacheState(handle.fd)?.dirtyBytes ?? 0, 0);
  await dropPageCache(path);
  t.is(pageCacheState(path)?.cachedBytes, 0);
});

test('only the range counts', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('x');
  await writeFile(path, Buffer.alloc(2 * MIB, 7));
  t.is(pageCacheState(path, { offset: MIB, length: MIB })?.cachedBytes, MIB);
  t.is(pageCacheState(path, { offset: MIB, length: 5 * MIB })?.cachedBytes, MIB);
  t.is(pageCacheState(path, { offset: 2 * MIB, length: MIB })?.cachedBytes, 0);
  t.is(pageCacheState(path, { offset: 0, length: 0 })?.cachedBytes, 0);
});

test('a file that is not there and a range that is none are errors', async (t) => {
  const missing = { code: 'ERR_MAPPED_RAM_IO', message: /opening the file/ };
  t.throws(() => pageCacheState('/nonexistent/file'), missing);
  await t.throwsAsync(dropPageCache('/nonexistent/file'), { code: 'ERR_MAPPED_RAM_IO' });
  t.throws(() => pageCacheState('/dev/null', { offset: -1, length: 1 }), {
    code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    message: /offset: expected a whole number of bytes, 0 or more, found -1/,
  });
});
