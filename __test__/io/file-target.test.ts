import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import { fileTargetOf } from '../../ts/io/file-target.ts';

test('a file: URL object is the path that Node makes of it', (t) => {
  const path = join(import.meta.dirname, 'a b%,offset=1é');
  t.deepEqual(fileTargetOf(pathToFileURL(path)), { filename: path, offset: 0 });
});

test('a string is a URI or a path', (t) => {
  t.deepEqual(fileTargetOf('file:/x%20,offset=4k'), { filename: '/x%20', offset: 4096 });
  t.deepEqual(fileTargetOf('x,offset=4k'), { filename: 'x,offset=4k', offset: 0 });
});

test('a URL that is no file is refused as a URI of that transport is', (t) => {
  const error = t.throws(() => fileTargetOf(new URL('http://example.org/x')), { instanceOf: MappedRamError });
  t.is(error.code, 'ERR_MAPPED_RAM_UNSUPPORTED');
  t.regex(error.message, /http: gives none/);
});

test('a file: URL that names no file of this host is no target', (t) => {
  for (const url of ['file:///a%00b', 'file:///a%2Fb']) {
    t.throws(() => fileTargetOf(new URL(url)), {
      instanceOf: MappedRamError,
      code: 'ERR_MAPPED_RAM_INVALID_URI',
    });
  }
});
