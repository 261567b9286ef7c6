import { jsonMember, SCHEMA_VERSION } from './json.ts';

const INDENT = '  ';
/** Characters that are put together before they are handed out. */
const BATCH = 1 << 16;

/**
 * What `toJson` gives, in pieces, so that no string gets too long. An iterable that is no array becomes one, and is asked
 * for its elements when it is their turn; these must be without iterables.
 */
export function* jsonPieces(value: object): Generator<string, void, void> {
  let batch = '';
  for (const piece of pieces({ schemaVersion: SCHEMA_VERSION, ...value }, '')) {
    batch += piece;
    if (batch.length < BATCH) continue;
    yield batch;
    batch = '';
  }
  yield batch;
}

function* pieces(value: unknown, indent: string): Generator<string, void, void> {
  const member = jsonMember('', value);
  const inner = indent + INDENT;
  if (typeof member !== 'object' || member === null) {
    yield JSON.stringify(member);
  } else if (!isIterable(member)) {
    const members = Object.entries(member).map(([key, item]): Member => [`${JSON.stringify(key)}: `, item]);
    yield* list('{', members, '}', indent);
  } else if (Array.isArray(member)) {
    const members = member.map((element): Member => ['', element]);
    yield* list('[', members, ']', indent);
  } else {
    let before = '[';
    for (const element of member) {
      // Text in JSON has no line breaks of its own.
      const text = JSON.stringify(element, jsonMember, 2).replaceAll('\n', `\n${inner}`);
      yield `${before}\n${inner}${text}`;
      before = ',';
    }
    yield before === '[' ? '[]' : `\n${indent}]`;
  }
}

type Member = readonly [before: string, value: unknown];

function* list(
  open: string,
  members: readonly Member[],
  close: string,
  indent: string,
): Generator<string, void, void> {
  const inner = indent + INDENT;
  for (const [index, [before, value]] of members.entries()) {
    yield `${index === 0 ? open : ','}\n${inner}${before}`;
    yield* pieces(value, inner);
  }
  // An empty one has no line of its own.
  yield members.length === 0 ? open + close : `\n${indent}${close}`;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}
