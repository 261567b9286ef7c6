import { MappedRamError } from '../errors.ts';
import { inWords } from './in-words.ts';

/**
 * Checks the form of a caller's options, and their signal. A program without types may give anything.
 * @param name the name of the options in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertOptions(options: unknown, name = 'options'): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
      expected: 'an object',
      found: inWords(options),
    });
  }
  const signal: unknown = Reflect.get(options, 'signal');
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'signal', {
    expected: 'an AbortSignal',
    found: inWords(signal),
  });
}

/**
 * Checks a list of texts among a caller's options.
 * @param name the list's name in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertTexts(name: string, list: unknown): void {
  const wrong: unknown = Array.isArray(list) ? list.find((text) => typeof text !== 'string') : list;
  if (Array.isArray(list) && list.every((text) => typeof text === 'string')) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'an array of texts',
    found: Array.isArray(list) ? `an array with ${inWords(wrong)}` : inWords(wrong),
  });
}
