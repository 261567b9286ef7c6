import { MappedRamError } from '../errors.ts';
import { inWords } from './in-words.ts';

/** The words that options take, by the options' names. */
export type OptionWords<Options> = {
  readonly [Name in keyof Options]?: readonly Exclude<Options[Name], undefined>[];
};

/**
 * Checks the words of a caller's options. A program without types may give any word, and an unknown word must not pass
 * for a known one. An option that is undefined keeps its default.
 * @param prefix stands before the options' names in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for the first word that its option does not take
 */
export function assertWords<Options extends object>(
  options: Options,
  lists: OptionWords<Options>,
  prefix = '',
): void {
  for (const [name, words] of Object.entries<readonly unknown[] | undefined>(lists)) {
    const value: unknown = Reflect.get(options, name);
    if (value !== undefined) assertWord(`${prefix}${name}`, value, words ?? []);
  }
}

/**
 * Checks the word of one option.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT unless the word is one of those that the option takes
 */
export function assertWord(name: string, value: unknown, words: readonly unknown[]): void {
  if (words.includes(value)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: words.join(', '),
    found: typeof value === 'string' ? value : inWords(value),
  });
}
