import test from 'ava';
import * as fc from 'fast-check';

import { jsonPieces, toJson } from '../../ts/cli/render/json.ts';
import { MappedRamError } from '../../ts/errors.ts';

test('the pieces together are what toJson gives', (t) => {
  const property = fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
    t.is(Array.from(jsonPieces(value)).join(''), toJson(value));
  });
  t.notThrows(() => fc.assert(property, { numRuns: 300 }));
  const special = {
    nothing: undefined,
    large: 2n ** 64n - 1n,
    bytes: Uint8Array.of(1, 254),
    error: new MappedRamError('ERR_MAPPED_RAM_IO', 'words', { path: 'p', offset: 3 }),
    list: [undefined, [], {}, [[{}]]],
  };
  t.is(Array.from(jsonPieces(special)).join(''), toJson(special));
});

test('what can be iterated over is an array, and is asked for one element at a time', (t) => {
  const count = 100_000;
  let asked = 0;
  function* numbers(): Generator<{ readonly number: number }> {
    for (asked = 0; asked < count; asked += 1) yield { number: asked };
  }
  const pieces = jsonPieces({ before: 1, numbers: numbers(), after: 2 });
  const first = pieces.next().value ?? '';
  t.true(asked > 0 && asked < count / 10, String(asked));
  const rest = Array.from(pieces);
  t.true(rest.every((piece) => piece.length < 70_000));
  const whole = { before: 1, numbers: Array.from({ length: count }, (_, number) => ({ number })), after: 2 };
  t.true(first + rest.join('') === toJson(whole));
});
