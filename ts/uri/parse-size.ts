import type { MappedRamError } from '../errors.ts';
import { invalidUri } from './invalid-uri.ts';

/** The largest size and the largest offset: 2^64-1. */
export const MAX_SIZE: bigint = 2n ** 64n - 1n;

/** The characters that QEMU's C library skips before a number: space, \t, \n, \v, \f, \r. */
export const C_BLANKS = '[\\t-\\r ]*';

const LEAD = new RegExp(`^${C_BLANKS}\\+?`);
const HEX = /^0x([0-9a-f]+)/i;
const DECIMAL = /^(\d*)(\.\d*)?([bkmgtpe])?/i;
const SHIFTS: Readonly<Record<string, bigint>> = { b: 0n, k: 10n, m: 20n, g: 30n, t: 40n, p: 50n, e: 60n };
const MAX_DIGITS = MAX_SIZE.toString().length;

/**
 * Reads a size as QEMU does (docs/format.md §5.1), from `start` to the end of `text`.
 *
 * Blanks and a `+` may come first, then come `0x` and hex digits, or decimal digits with an optional fraction and one
 * suffix of `bkmgtpe` in either case (powers of 1024). A fraction other than zero needs a suffix above `b`; it passes
 * through a double, and the result is rounded half up. A leading 0 is decimal. Nothing may follow.
 *
 * @param start index in `text` where the size begins; errors tell positions in the whole text
 * @returns bytes, 0 to 2^64-1
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for anything else
 */
export function parseSize(text: string, start: number = 0): bigint {
  const number = start + (LEAD.exec(text.slice(start))?.[0].length ?? 0);
  const rest = text.slice(number);
  const hex = HEX.exec(rest);
  if (hex !== null) {
    expectEnd(text, number + hex[0].length);
    return inRange(parseDigits(hex[1] ?? '', '0x'), text, start);
  }
  const [matched = '', whole = '', fraction = '', suffix] = DECIMAL.exec(rest) ?? [];
  if (!/\d/.test(whole + fraction))
    throw invalidSize(text, number, 'a size (digits, then an optional suffix)');
  expectEnd(text, number + matched.length);
  const shift = SHIFTS[suffix?.toLowerCase() ?? 'b'] ?? 0n;
  return inRange(scale(whole, fraction, shift, text, number), text, start);
}

/**
 * A size or offset as the API hands it out: a number when it is exact (up to 2^53-1), otherwise a bigint.
 */
export function toNumberIfSafe(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function scale(whole: string, fraction: string, shift: bigint, text: string, number: number): bigint {
  const units = parseDigits(whole, '');
  if (!/[1-9]/.test(fraction)) return units << shift;
  const part = Number(`0${fraction}`);
  // A fraction of so many nines is 1 as a double: QEMU carries, and then sees no fraction left.
  if (part === 1) return (units + 1n) << shift;
  if (shift === 0n)
    throw invalidSize(text, number + whole.length, 'a suffix of k, m, g, t, p or e after a fraction');
  return (units << shift) + roundHalfUp(part * 2 ** Number(shift));
}

/**
 * Rounds exactly, unlike Math.round(x), which adds the half in floating point. Scaling by a power of two was exact too.
 */
function roundHalfUp(value: number): bigint {
  const floor = Math.floor(value);
  return BigInt(floor) + (value - floor >= 0.5 ? 1n : 0n);
}

/** A number with more digits than any size becomes one size too large, so that no huge bigint is ever made. */
function parseDigits(digits: string, prefix: '' | '0x'): bigint {
  const significant = digits.replace(/^0+/, '');
  return significant.length > MAX_DIGITS ? MAX_SIZE + 1n : BigInt(`${prefix}0${significant}`);
}

function inRange(value: bigint, text: string, start: number): bigint {
  if (value > MAX_SIZE) throw invalidSize(text, start, `at most ${MAX_SIZE} bytes`);
  return value;
}

function expectEnd(text: string, position: number): void {
  if (position < text.length) throw invalidSize(text, position, 'the end of the size');
}

function invalidSize(text: string, position: number, expected: string): MappedRamError {
  return invalidUri(text, position, 'not a size', expected);
}
