import { MappedRamError } from '../errors.ts';
import { inWords } from './in-words.ts';

/**
 * Checks a size or offset that a caller gave, and returns it as a number.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT unless it is a whole number of bytes from 0 to 2^53-1
 */
export function byteCount(what: string, value: number | bigint): number {
  const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', what, {
    expected: 'a whole number of bytes, 0 to 2^53-1',
    found: inWords(value),
  });
}
