import test from 'ava';

import { MappedRamError } from '../../ts/errors.ts';
import { parseFileTarget } from '../../ts/uri/index.ts';
import { givesOffset } from '../../ts/uri/parse-migration-uri.ts';

test('a string that begins with file: is a migration URI, read as QEMU reads it', (t) => {
  t.deepEqual(parseFileTarget('file:/x'), { filename: '/x', offset: 0 });
  t.deepEqual(parseFileTarget('file:x,offset=1.5k'), { filename: 'x', offset: 1536 });
  t.deepEqual(parseFileTarget('file:///x%20y'), { filename: '///x%20y', offset: 0 });
  t.deepEqual(parseFileTarget('file:C:\\x'), { filename: 'C:\\x', offset: 0 });
  t.deepEqual(parseFileTarget('file:/dev/fdset/3'), { filename: '/dev/fdset/3', offset: 0 });
  t.deepEqual(parseFileTarget('file:x,offset=9007199254740991'), {
    filename: 'x',
    offset: Number.MAX_SAFE_INTEGER,
  });
});

test('any other string is a path, taken verbatim', (t) => {
  const paths = [
    './file:x',
    '/abs/path',
    'rel/path',
    'C:\\x',
    'x,offset=4096',
    'FILE:/x',
    ' file:/x',
    'file',
    'https://example.org/x',
    'defer:',
    './defer',
    'a b%20',
    '/dev/fdset/3',
  ];
  for (const path of paths) t.deepEqual(parseFileTarget(path), { filename: path, offset: 0 });
});

test('transports that cannot seek are refused with the reason', (t) => {
  const reason = (target: string): string => {
    const error = t.throws(() => parseFileTarget(target), { instanceOf: MappedRamError }, target);
    t.is(error.code, 'ERR_MAPPED_RAM_UNSUPPORTED', target);
    return error.message;
  };
  for (const scheme of ['tcp', 'unix', 'vsock', 'exec', 'rdma']) {
    const message = reason(`${scheme}:127.0.0.1:1`);
    t.true(message.includes(`a snapshot needs a file to seek in, and ${scheme}: gives none`), message);
    t.true(message.includes(`./${scheme}:`), message);
  }
  t.regex(reason('fd:3'), /QEMU refuses fd: for mapped-ram; .* use file:\/dev\/fdset\/N/);
  t.regex(reason('fd:'), /QEMU refuses fd:/);
  t.regex(reason('defer'), /a file of this name is \.\/defer/);
});

test('no target means: a URI QEMU refuses, an empty name, or one no file system has', (t) => {
  const cases: ReadonlyArray<readonly [target: string, position: number]> = [
    ['file:x,offset=1MB', 16],
    ['', 0],
    ['file:', 5],
    ['file:,offset=1', 5],
    ['a\0b', 1],
    ['a\ud800', 1],
    ['file:a\0b', 6],
  ];
  for (const [target, position] of cases) {
    const error = t.throws(
      () => parseFileTarget(target),
      { instanceOf: MappedRamError },
      JSON.stringify(target),
    );
    t.is(error.code, 'ERR_MAPPED_RAM_INVALID_URI', JSON.stringify(target));
    t.is(error.offset, position, JSON.stringify(target));
  }
});

test('an offset that no number holds is out of range', (t) => {
  t.throws(() => parseFileTarget('file:x,offset=9007199254740992'), {
    instanceOf: MappedRamError,
    code: 'ERR_MAPPED_RAM_OUT_OF_RANGE',
  });
});

test('an offset of 0 is given, too, and a path gives none', (t) => {
  for (const uri of ['file:x,offset=0', 'file:x,offset=4K', 'file:,offset=1']) t.true(givesOffset(uri), uri);
  for (const text of ['file:x', 'x,offset=4K', './file:x,offset=4K', 'tcp:x:1,offset=4K', 'defer']) {
    t.false(givesOffset(text), text);
  }
});
