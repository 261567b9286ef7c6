import { jsonMember, SCHEMA_VERSION } from './json.ts';

const INDENT = '  ';
/** Characters that are put together before they are handed out. */
const BATCH = 1 << 16;

/**
 * What `toJson` gives, in pieces, so that no string gets too long. What can be iterated over becomes an array, and is asked
 * for its elements when it is their turn.
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
  if (typeof member !== 'object' || member === null) yield JSON.stringify(member);
  else if (isIterable(member)) yield* list('[', elements(member), ']', indent);
  else yield* list('{', Object.entries(member), '}', indent);
}

function* elements(values: Iterable<unknown>): Generator<readonly [undefined, unknown]> {
  for (const value of values) yield [undefined, value];
}

function* list(
  open: string,
  members: Iterable<readonly [string | undefined, unknown]>,
  close: string,
  indent: string,
): Generator<string, void, void> {
  const inner = indent + INDENT;
  let before = `${open}\n${inner}`;
  for (const [key, member] of members) {
    yield key === undefined ? before : `${before}${JSON.stringify(key)}: `;
    yield* pieces(member, inner);
    before = `,\n${inner}`;
  }
  // An empty one has no line of its own.
  yield before.startsWith(open) ? open + close : `\n${indent}${close}`;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}
