import test from 'ava';

import { assertWord, assertWords } from '../../ts/io/option-words.ts';
import { modeOf } from '../../ts/restore/modes/modes.ts';

const ODD: readonly unknown[] = [
  null,
  5,
  true,
  Symbol('on'),
  Object.create(null),
  ['on'],
  () => 'on',
  {
    toString: (): never => {
      throw new Error('no words');
    },
  },
];

test('a value that is no word is refused as such, also one that has no words of its own', (t) => {
  const refused = { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message: /expected auto, on, off, found \S/ };
  for (const value of ODD) {
    t.throws(() => assertWord('multifd', value, ['auto', 'on', 'off']), refused);
    const options: { readonly multifd?: string } = Object.fromEntries([['multifd', value]]);
    t.throws(() => assertWords(options, { multifd: ['auto', 'on', 'off'] }), refused);
    t.throws(() => modeOf(Object(value)), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
  }
  const none: { readonly multifd?: string } = {};
  t.notThrows(() => assertWords(none, { multifd: ['on'] }));
});
