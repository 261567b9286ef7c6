import test from 'ava';

import { parseFdset } from '../../ts/uri/index.ts';

test('/dev/fdset/N is an fd set, written in any way QEMU takes', (t) => {
  t.is(parseFdset('/dev/fdset/0'), 0);
  t.is(parseFdset('/dev/fdset/1'), 1);
  t.is(parseFdset('/dev/fdset/007'), 7);
  t.is(parseFdset('/dev/fdset/+5'), 5);
  t.is(parseFdset('/dev/fdset/ \t5'), 5);
  t.is(parseFdset('/dev/fdset/-0'), 0);
  t.is(parseFdset('/dev/fdset/2147483647'), 2147483647);
});

test('everything else is a file, or an fd set that QEMU cannot parse', (t) => {
  for (const end of [
    '',
    'x',
    '5x',
    '5 ',
    '5/',
    '/5',
    '-1',
    '0x5',
    '1.0',
    '2147483648',
    '99999999999999999999',
  ]) {
    t.is(parseFdset(`/dev/fdset/${end}`), undefined, end);
  }
  for (const name of [
    '',
    '5',
    '/dev/fdset',
    'dev/fdset/5',
    '//dev/fdset/5',
    '/dev/./fdset/5',
    'file:/dev/fdset/5',
  ]) {
    t.is(parseFdset(name), undefined, name);
  }
});
