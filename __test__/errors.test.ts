import { runInNewContext } from 'node:vm';

import test from 'ava';

import { composeMessage, MappedRamError, messageOf, systemCode } from '../ts/errors.ts';

const CODE = 'ERR_MAPPED_RAM_CORRUPT';

test('the message is composed of the words and of all that is known beside them', (t) => {
  const cause = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  const error = new MappedRamError(CODE, 'the words', {
    path: '/a',
    offset: 16,
    sectionOffset: 3,
    expected: 4,
    found: 'five',
    cause,
  });
  t.is(error.message, '/a, offset 16 (0x10): the words (at 3): expected 4, found five (EIO: i/o error)');
  t.is(error.shortMessage, 'the words');
  t.like(error, { path: '/a', offset: 16, sectionOffset: 3, expected: 4, found: 'five', code: CODE });
  t.is(error.cause, cause);
  t.is(new MappedRamError(CODE, 'words').message, 'words');
  t.is(new MappedRamError(CODE, 'words', { offset: 0 }).message, 'offset 0 (0x0): words');
  t.is(new MappedRamError(CODE, 'words', { found: 0 }).message, 'words: found 0');
  t.is(composeMessage('words', { sectionOffset: 0, found: 1 }), 'words (at 0): found 1');
});

test('an error has the fields that were given, and no others', (t) => {
  t.deepEqual(Object.keys(new MappedRamError(CODE, 'words')), ['code']);
  t.deepEqual(Object.keys(new MappedRamError(CODE, 'words', { path: undefined, cause: undefined })), [
    'code',
  ]);
  t.false('cause' in new MappedRamError(CODE, 'words'));
  const facts = {
    qmp: { class: 'GenericError', desc: 'no' },
    rule: { rule: 'blocked', section: '6.2' },
    migration: { status: 'failed' },
  };
  const error = new MappedRamError(CODE, 'words', facts);
  t.deepEqual(Object.keys(error), ['code', 'qmp', 'rule', 'migration']);
  t.like(error, { ...facts, message: 'words' });
});

test('an error without a place has that of its cause, which its message tells', (t) => {
  const beneath = new MappedRamError(CODE, 'deep down', { path: '/b', offset: 1 });
  const error = new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'above', { cause: beneath });
  t.like(error, { path: '/b', offset: 1, shortMessage: 'above' });
  t.is(error.message, 'above: /b, offset 1 (0x1): deep down');
  const placed = new MappedRamError(CODE, 'above', { path: '/a', cause: beneath });
  t.is(placed.path, '/a');
  t.is(placed.offset, undefined);
  const told = new MappedRamError(CODE, 'above, and deep down', { cause: beneath, tellsCause: true });
  t.is(told.message, 'above, and deep down');
  t.is(told.cause, beneath);
});

test('the cause is an error, whatever was thrown', (t) => {
  const cases: readonly (readonly [unknown, string])[] = [
    ['text', 'text'],
    [7, '7'],
    [null, 'null'],
    [false, 'false'],
    [Symbol('x'), 'Symbol(x)'],
    [{ class: 'x' }, '[object Object]'],
  ];
  for (const [thrown, words] of cases) {
    const { cause, message } = new MappedRamError(CODE, 'above', { cause: thrown });
    t.true(cause instanceof Error);
    t.is(cause?.message, words);
    t.is(message, `above (${words})`);
  }
  // An error of another realm, such as jest makes, counts as an error.
  const foreign: unknown = runInNewContext(`Object.assign(new Error('far'), { code: 'ENOENT' })`);
  t.false(foreign instanceof Error);
  const { cause, message } = new MappedRamError(CODE, 'words', { cause: foreign });
  t.true(cause === foreign);
  t.is(message, 'words (far)');
  t.is(systemCode(foreign), 'ENOENT');
});

function refuses(): never {
  throw new Error('no');
}

test('what is made into no text has words all the same', (t) => {
  const odd: readonly unknown[] = [
    Object.create(null),
    { toString: refuses },
    { [Symbol.toPrimitive]: refuses, [Symbol.toStringTag]: 'Error' },
    Object.defineProperty(new Error('x'), 'message', { get: refuses }),
    new Proxy({}, { has: refuses, get: refuses, getPrototypeOf: refuses }),
  ];
  for (const thrown of odd) {
    t.is(messageOf(thrown), 'a value without words was thrown');
    const { cause, message } = new MappedRamError(CODE, 'above', { cause: thrown });
    t.true(cause instanceof Error);
    t.is(message, 'above (a value without words was thrown)');
    t.is(systemCode(thrown), undefined);
  }
  t.is(messageOf(Object.assign(new Error('x'), { message: 5 })), '5');
});

test('whatever was thrown has words, and a code where the system gave one', (t) => {
  t.is(messageOf(new Error('words')), 'words');
  t.is(messageOf('words'), 'words');
  t.is(messageOf(undefined), 'undefined');
  t.is(systemCode(Object.assign(new Error('x'), { code: 'EACCES' })), 'EACCES');
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 20 }),
    { code: 'ENOENT' },
    'ENOENT',
  ]) {
    t.is(systemCode(other), undefined);
  }
});

test('an error of another copy of the package is one of this class', (t) => {
  t.true(new MappedRamError(CODE, 'words') instanceof Error);
  t.true(
    Object.defineProperty(new Error('x'), Symbol.for('mapped-ram.error'), { value: true }) instanceof
      MappedRamError,
  );
  t.false(new Error('x') instanceof MappedRamError);
  t.is(structuredClone(new MappedRamError(CODE, 'words', { path: '/a' })).message, '/a: words');
});
