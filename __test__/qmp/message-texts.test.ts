import test from 'ava';
import * as fc from 'fast-check';

import { parseQmpJson, type QmpValue } from '../../ts/qmp/json.ts';
import { QmpMessageTexts } from '../../ts/qmp/message-texts.ts';

function textsOf(chunks: Iterable<string | Uint8Array>, joinsLate = false): readonly string[] {
  const texts = new QmpMessageTexts(joinsLate);
  return [...chunks].flatMap((chunk) => texts.push(Buffer.from(chunk)));
}

/** JSON as programs print it: on one line, or prettily with any indentation. */
const printed = fc
  .tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 1, 4), fc.constantFrom('\n', '\r\n'))
  .map(([value, indentation, end]) => ({
    value: parseQmpJson(JSON.stringify(value)),
    text: JSON.stringify(value, null, indentation).replaceAll('\n', end) + end,
  }));

test('messages come out as they were printed, on one line or on many, whatever the chunks', (t) => {
  fc.assert(
    fc.property(fc.array(printed), fc.integer({ min: 1, max: 40 }), (messages, size) => {
      const bytes = Buffer.from(messages.map(({ text }) => text).join(''));
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      const values: readonly QmpValue[] = textsOf(chunks).map((text) => parseQmpJson(text));
      t.deepEqual(
        values,
        messages.map(({ value }) => value),
      );
    }),
  );
});

test('brackets and quotes inside of strings are no brackets and quotes', (t) => {
  const pretty = '{\n    "a": "}]{\\"[",\n    "b": [\n        "\\\\"\n    ]\n}\n';
  t.deepEqual(
    textsOf([pretty, '{"c":1}\n']).map((text) => parseQmpJson(text)),
    [{ a: '}]{"[', b: ['\\'] }, { c: 1 }],
  );
});

test('a mark before UTF-8, empty lines and a negotiation of telnet are no part of a message', (t) => {
  t.deepEqual(textsOf(['\uFEFF{"a":1}\r\n', '\r\n\r\n', '{"b":2}\r\n']), ['{"a":1}', '{"b":2}']);
  const negotiation = [0xff, 0xfb, 0x01, 0xff, 0xfb, 0x03, 0xff, 0xfd, 0x00];
  t.deepEqual(
    textsOf([...negotiation.map((byte) => Uint8Array.of(byte)), '{"a":1}\n', Buffer.from([0xff, 0xfb])]),
    ['{"a":1}'],
  );
});

test('whoever joins late reads from the first message that begins after that', (t) => {
  const next = ['{"a":1}\n', '{\n  "b": 2\n}\n'];
  const wanted = [{ a: 1 }, { b: 2 }];
  for (const rest of [
    'rn":"x"},"id":4}\n',
    '{"x":1},"id":4}\n',
    '}\n',
    '\n',
    '    "x": {\n        "y": 1\n    }\n}\n',
    '{\n        "y": 1\n'.slice(2) + '    }\n}\n',
    '',
  ]) {
    t.deepEqual(
      textsOf([rest, ...next], true).map((text) => parseQmpJson(text)),
      wanted,
      rest,
    );
  }
});

test('a message that does not end is refused, and its pieces are joined once', (t) => {
  const texts = new QmpMessageTexts();
  const line = Buffer.from(`"${'x'.repeat(1 << 20)}",\n`);
  texts.push(Buffer.from('{"a":[\n'));
  const error = t.throws(() => {
    for (let count = 0; count < 80; count += 1) texts.push(line);
  });
  t.like(error, { code: 'ERR_MAPPED_RAM_OUT_OF_RANGE' });
  t.is(texts.incomplete.length, 200);
});
