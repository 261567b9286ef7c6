import test from 'ava';
import * as fc from 'fast-check';

import { parseQmpJson, type QmpValue, stringifyQmpJson } from '../../ts/qmp/json.ts';

test('integers beyond 2^53-1 survive', (t) => {
  t.deepEqual(parseQmpJson('{"a":18446744073709551615,"b":[-9223372036854775808]}'), {
    a: 18446744073709551615n,
    b: [-9223372036854775808n],
  });
  t.is(parseQmpJson('9007199254740991'), 9007199254740991);
  t.is(parseQmpJson('9007199254740992'), 9007199254740992n);
});

test('digits in strings and keys, and floats, stay what they are', (t) => {
  const text = String.raw`{"12345678901234567890":"18446744073709551615 \" 18446744073709551615","f":0.12345678901234567,"e":1234567890123456789e3,"h":12345678901234567.5}`;
  t.deepEqual(parseQmpJson(text), JSON.parse(text));
});

test('what is not JSON throws', (t) => {
  t.throws(() => parseQmpJson('{"a":'), { instanceOf: SyntaxError });
  t.throws(() => parseQmpJson('{"a":18446744073709551615'), { instanceOf: SyntaxError });
});

test('any value comes back from its text', (t) => {
  const large = fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }).chain((n) => fc.constantFrom(n, -n));
  const value = fc.letrec<{ value: QmpValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      large,
      fc.string({ unit: 'binary' }),
      large.map(String),
      fc.array(tie('value')),
      fc.dictionary(fc.string(), tie('value'), { noNullPrototype: true }),
    ),
  })).value;
  fc.assert(
    fc.property(value, (original) => {
      t.deepEqual(parseQmpJson(stringifyQmpJson(original)), normal(original));
    }),
  );
});

test('members that are undefined are left out', (t) => {
  t.is(stringifyQmpJson({ a: undefined, b: 2n ** 63n, c: -1n }), '{"b":9223372036854775808,"c":-1}');
});

/** The value after a way through JSON, which knows no negative zero. */
function normal(value: QmpValue): QmpValue {
  return Object.is(value, -0) ? 0 : value;
}
