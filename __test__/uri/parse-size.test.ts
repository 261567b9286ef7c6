import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import { parseSize } from '../../ts/uri/index.ts';
import { sizeLikeText, sizeText } from './arbitraries.ts';
import { NO_SIZES, SIZES } from './size-cases.ts';
import { sizeOracle } from './size-oracle.ts';

test('a size has the value that QEMU gives it', (t) => {
  for (const [text, bytes] of SIZES) t.is(parseSize(text), bytes, text.slice(0, 60));
});

test('what QEMU refuses as a size is refused, at the first character that cannot stay', (t) => {
  for (const [text, position] of NO_SIZES) {
    const error = t.throws(() => parseSize(text), { instanceOf: MappedRamError }, text.slice(0, 60));
    t.is(error.code, 'ERR_MAPPED_RAM_INVALID_URI');
    t.is(error.offset, position, text.slice(0, 60));
  }
});

test('a size in the middle of a text runs to its end, and errors tell positions in the whole text', (t) => {
  t.is(parseSize('file:x,offset=4k', 14), 4096n);
  const error = t.throws(() => parseSize('file:x,offset=4kB', 14), { instanceOf: MappedRamError });
  t.is(
    error.message,
    'file:x,offset=4kB, offset 16 (0x10): not a size: expected the end of the size, found "B"',
  );
  t.is(error.path, 'file:x,offset=4kB');
  t.is(error.found, '"B"');
});

test('the oracle of the property tests gives the values of the table', (t) => {
  for (const [text, bytes] of SIZES) t.is(sizeOracle(text), bytes, text.slice(0, 60));
  for (const [text] of NO_SIZES) t.is(sizeOracle(text), undefined, text.slice(0, 60));
});

test('sizes agree with an oracle that computes with integers only', (t) => {
  let accepted = 0;
  const agrees = (text: string): void => {
    const expected = sizeOracle(text);
    if (expected !== undefined) accepted += 1;
    t.is(sizeOrUndefined(text), expected, JSON.stringify(text));
  };
  fc.assert(fc.property(sizeText, agrees), { numRuns: 3000 });
  fc.assert(fc.property(sizeLikeText, agrees), { numRuns: 2000 });
  t.true(accepted > 500, `only ${accepted} of the texts were sizes`);
});

function sizeOrUndefined(text: string): bigint | undefined {
  try {
    return parseSize(text);
  } catch (error) {
    if (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_INVALID_URI') return undefined;
    throw error;
  }
}
