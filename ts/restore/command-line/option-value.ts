import { MappedRamError } from '../../errors.ts';

/** A list of numbers, as `jsonMember` leaves it. */
const LIST = /^\[\d+(?:,\d+)*\]$/;
/** QEMU's words for a switch that is on. */
const ON = new Set(['on', 'yes', 'true', 'y']);
/** Members that are text, whatever they look like. */
const TEXTS = new Set(['qom-type', 'id', 'mem-path']);

/** The members of an option's value, in order; the last one counts when a key is given twice. */
export type OptionValue = ReadonlyMap<string, string>;

/**
 * Reads `TYPE,key=value,…`, or JSON where QEMU takes that. A comma inside a value is doubled. A member without `=` is
 * the value of `implied` when it comes first, and `on` otherwise.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a text that begins like JSON and is none
 */
export function parseOptionValue(text: string, implied: string): OptionValue {
  if (text.startsWith('{')) return parseJson(text);
  const members = new Map<string, string>();
  for (const [index, part] of splitAtCommas(text).entries()) {
    const equals = part.indexOf('=');
    if (equals !== -1) members.set(part.slice(0, equals), part.slice(equals + 1));
    else members.set(index === 0 ? implied : part, index === 0 ? part : 'on');
  }
  return members;
}

/**
 * Writes the members so that QEMU and `parseOptionValue` read the same: as JSON when one of them is a list from JSON.
 */
export function formatOptionValue(members: OptionValue, implied: string): string {
  if ([...members.values()].some((value) => LIST.test(value))) return formatJson(members);
  const parts = [...members].map(([key, value], index) => {
    const escaped = value.replaceAll(',', ',,');
    return index === 0 && key === implied && !value.includes('=') ? escaped : `${key}=${escaped}`;
  });
  return parts.join(',');
}

function formatJson(members: OptionValue): string {
  const entries = [...members].map(([key, value]) => [key, typedMember(key, value)]);
  return JSON.stringify(Object.fromEntries(entries));
}

function typedMember(key: string, value: string): unknown {
  if (TEXTS.has(key)) return value;
  if (LIST.test(value)) return JSON.parse(value);
  if (value === 'on' || value === 'off') return value === 'on';
  return /^\d+$/.test(value) ? Number(value) : value;
}

/** True for a switch that is on, in QEMU's words. */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && ON.has(value);
}

function splitAtCommas(text: string): readonly string[] {
  const parts = text.match(/(?:[^,]|,,)+/g) ?? [];
  return parts.map((part) => part.replaceAll(',,', ','));
}

function parseJson(text: string): OptionValue {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
    return new Map(Object.entries(value).map(([key, member]) => [key, jsonMember(member)]));
  } catch (cause) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', "an option's value is no JSON object", {
      found: text,
      cause,
    });
  }
}

function jsonMember(member: unknown): string {
  if (typeof member === 'boolean') return member ? 'on' : 'off';
  return typeof member === 'string' ? member : JSON.stringify(member);
}
