import { MappedRamError } from '../../errors.ts';
import { memberSpan } from './json-span.ts';
import { isRecord, type Vmdescription } from './vmdescription.ts';

/** The facts by which a delta finds its base, and knows it again (docs/format.md §13). */
export interface BaseRecord {
  /** The base's path, relative to the delta's directory; undefined where one of the two has no path. */
  readonly name?: string | undefined;
  /** The base's absolute path; undefined where it has none. */
  readonly path?: string | undefined;
  /** Offset of the base's stream in its file, in bytes. */
  readonly offset: number;
  /** Offset of the end of the base's stream in its file, in bytes: the file's size, unless something follows. */
  readonly end: number;
  /** BLAKE3 of the base's head, block list, bitmaps and tail, in hexadecimal digits. */
  readonly metadata: string;
  /** The digest that ends the base's seal, in hexadecimal digits; undefined for a base that has no seal. */
  readonly seal?: string | undefined;
  /** The guest's UUID in hexadecimal digits; undefined for a base that records none. */
  readonly uuid?: string | undefined;
}

/** The member of the vmdescription that has the record. */
const KEY = 'mapped-ram-base';
const HEX = /^(?:[0-9a-f]{2})+$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the record out of a stream's vmdescription.
 * @param path the stream's name in errors
 * @returns undefined when there is none: the stream is no delta
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT for one that lacks a member, or has one of another kind
 */
export function baseRecordIn(description: Vmdescription | undefined, path: string): BaseRecord | undefined {
  const found = description?.[KEY];
  if (found === undefined) return undefined;
  if (!isRecord(found)) throw corrupt(KEY, path);
  const [name, file] = [textIn(found, 'name', path), textIn(found, 'path', path)];
  const [seal, uuid] = [digitsIn(found, 'seal', path), digitsIn(found, 'uuid', path)];
  const metadata = digitsIn(found, 'metadata', path);
  if (metadata === undefined) throw corrupt(`metadata of ${KEY}`, path);
  const [offset, end] = [countIn(found, 'offset', path), countIn(found, 'end', path)];
  return { name, path: file, offset, end, metadata, seal, uuid };
}

/** Puts a record into a vmdescription; every other byte stays as it is. @throws {MappedRamError} as `JSON.parse` would */
export function withBaseRecord(json: Uint8Array, record: BaseRecord): Uint8Array {
  const text = decoder.decode(withoutBaseRecord(json));
  const inside = text.slice(text.indexOf('{') + 1);
  const comma = inside.trimStart().startsWith('}') ? '' : ', ';
  return encoder.encode(`{${JSON.stringify(KEY)}: ${JSON.stringify(record)}${comma}${inside}`);
}

/** Takes the record out of a vmdescription, for a stream that is whole. A vmdescription without one stays as it is. */
export function withoutBaseRecord(json: Uint8Array): Uint8Array {
  const span = spanIn(json);
  if (span === undefined) return json;
  const { text, start, end } = span;
  const key = text.lastIndexOf(JSON.stringify(KEY), start);
  const [before, behind] = [text.slice(0, key), text.slice(end)];
  // The comma goes with the member: the one behind it, or before it when it is the last.
  const next = /^\s*, ?/.exec(behind);
  const rest = next === null ? before.replace(/,\s*$/, '') + behind : before + behind.slice(next[0].length);
  return encoder.encode(rest);
}

function spanIn(
  json: Uint8Array,
): { readonly text: string; readonly start: number; readonly end: number } | undefined {
  try {
    const text = decoder.decode(json);
    const parsed: unknown = JSON.parse(text);
    const span = isRecord(parsed) && Object.hasOwn(parsed, KEY) ? memberSpan(text, KEY) : undefined;
    return span && { text, ...span };
  } catch {
    // A text that is not UTF-8 or not JSON has no member.
    return undefined;
  }
}

type Members = Readonly<Record<string, unknown>>;

function textIn(found: Members, member: string, path: string): string | undefined {
  const value = found[member];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw corrupt(`${member} of ${KEY}`, path);
}

function digitsIn(found: Members, member: string, path: string): string | undefined {
  const value = textIn(found, member, path);
  if (value === undefined || HEX.test(value)) return value;
  throw corrupt(`${member} of ${KEY}`, path);
}

function countIn(found: Members, member: string, path: string): number {
  const value = found[member];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw corrupt(`${member} of ${KEY}`, path);
}

function corrupt(what: string, path: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `${what} in the vmdescription cannot be read`, {
    path,
  });
}
