import { randomUUID } from 'node:crypto';

/** A value in QMP: JSON, with a bigint in place of an integer that a number cannot hold exactly. */
export type QmpValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly QmpValue[]
  | { readonly [key: string]: QmpValue };

export type QmpObject = { readonly [key: string]: QmpValue };

/** A value to send: a QmpValue whose members may also be undefined. Undefined members are left out. */
export type QmpArgument =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly QmpArgument[]
  | { readonly [key: string]: QmpArgument | undefined };

/** Matches a whole string or a whole number. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const INTEGER = /^-?\d+$/;

/**
 * Parses JSON without rounding. QMP sends integers up to 2^64-1, and `JSON.parse` alone would silently round those
 * above 2^53-1.
 *
 * @throws {SyntaxError} when the text is not JSON
 */
export function parseQmpJson(text: string): QmpValue {
  if (!/\d{16}/.test(text)) {
    const value: QmpValue = JSON.parse(text);
    return value;
  }
  // No peer can guess the mark, so that none of its strings can pass for an integer.
  const mark = `${randomUUID()}:`;
  const marked = text.replace(STRING_OR_NUMBER, (token) =>
    INTEGER.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token,
  );
  const value: QmpValue = JSON.parse(marked, (_key, member: unknown) =>
    typeof member === 'string' && member.startsWith(mark) ? BigInt(member.slice(mark.length)) : member,
  );
  return value;
}

/** Writes JSON; a bigint becomes an integer literal. */
export function stringifyQmpJson(value: QmpArgument): string {
  let mark: string | undefined;
  const text = JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member !== 'bigint') return member;
    mark ??= `${randomUUID()}:`;
    return `${mark}${member}`;
  });
  // Nearly every command is without one.
  return mark === undefined ? text : text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}

export function isQmpObject(value: QmpValue | undefined): value is QmpObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
