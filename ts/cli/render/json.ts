import { isError, MappedRamError, messageOf, type ErrorContext } from '../../errors.ts';
import { UsageError } from '../exit-codes.ts';
import { Interrupted } from '../interrupted.ts';

/**
 * The version of all output of --json. 0.1.0 is the first release, and its schema the first. New members do not change
 * the version; a member that changes its meaning or goes does.
 */
const SCHEMA_VERSION = 1;

export interface ErrorFields {
  readonly code: string;
  readonly message: string;
  readonly path: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | number | undefined;
  readonly found: string | number | undefined;
  /** Facts about the failure, only with --verbose: QEMU's reply, the rule that refused, the state of a migration. */
  readonly qmp?: ErrorContext['qmp'];
  readonly rule?: ErrorContext['rule'];
  readonly migration?: ErrorContext['migration'];
  /** The errors beneath, the nearest first; only with --verbose. */
  readonly causes?: readonly { readonly code: string | undefined; readonly message: string }[];
}

/**
 * Writes one object as --json prints it. Undefined is null, errors are objects, 64-bit integers decimal text (numbers
 * in JSON would lose their last digits), bytes hexadecimal text.
 */
export function toJson(value: object): string {
  return JSON.stringify({ schemaVersion: SCHEMA_VERSION, ...value }, jsonMember, 2);
}

/** Converts a member's value to the types of JSON. */
function jsonMember(_key: string, member: unknown): unknown {
  if (member === undefined) return null;
  if (typeof member === 'bigint') return String(member);
  if (member instanceof Uint8Array) return Buffer.from(member).toString('hex');
  return isError(member) ? errorFields(member) : member;
}

export function errorFields(error: unknown, verbose = false): ErrorFields {
  const context: ErrorContext = error instanceof MappedRamError ? error : {};
  const { path, offset, expected, found } = context;
  const fields = { code: codeOf(error), message: messageOf(error), path, offset, expected, found };
  return verbose ? { ...fields, ...factsOf(error), causes: causesOf(error) } : fields;
}

/** Lists the errors beneath an error, the nearest first. */
export function causesOf(
  error: unknown,
): readonly { readonly code: string | undefined; readonly message: string }[] {
  const causes: { code: string | undefined; message: string }[] = [];
  const seen = new Set<unknown>([error]);
  let cause = isError(error) ? error.cause : undefined;
  while (cause !== undefined && !seen.has(cause)) {
    seen.add(cause);
    const code = isError(cause) && 'code' in cause ? String(cause.code) : undefined;
    causes.push({ code, message: messageOf(cause) });
    cause = isError(cause) ? cause.cause : undefined;
  }
  return causes;
}

/** Returns an error's facts about QEMU and the rules: only those that it has. */
export function factsOf(error: unknown): Pick<ErrorFields, 'qmp' | 'rule' | 'migration'> {
  const { qmp, rule, migration }: ErrorContext = error instanceof MappedRamError ? error : {};
  return {
    ...(qmp === undefined ? {} : { qmp }),
    ...(rule === undefined ? {} : { rule }),
    ...(migration === undefined ? {} : { migration }),
  };
}

function codeOf(error: unknown): string {
  if (error instanceof MappedRamError) return error.code;
  if (error instanceof UsageError) return 'ERR_MAPPED_RAM_INVALID_ARGUMENT';
  return error instanceof Interrupted ? 'ABORT_ERR' : 'ERR_MAPPED_RAM_INTERNAL';
}

const INDENT = '  ';
/** The number of characters that are collected before they are handed out. */
const BATCH = 1 << 16;

/**
 * Writes the text of `toJson` in pieces, so that no string gets too long. An iterable that is no array becomes one: it
 * is asked for its elements when it is their turn, and these must be without iterables.
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
  // An empty list has no line of its own.
  yield members.length === 0 ? open + close : `\n${indent}${close}`;
}

function isIterable(value: object): value is Iterable<unknown> {
  return Symbol.iterator in value;
}
