import { MappedRamError } from '../errors.ts';

/** Matches a character that no string for QEMU or the file system can hold: a NUL, half of a surrogate pair. */
export const UNUSABLE: RegExp = /[\0\p{Surrogate}]/u;
export const USABLE = 'well-formed text without NUL';

const EXCERPT_LENGTH = 40;

/**
 * The error for a text that QEMU's URI parser refuses.
 * @param text the whole text, as the caller gave it
 * @param offset index (UTF-16 code units) of the first character that cannot stay
 * @param message the failure there, in words
 * @param expected the text that could have stood there
 */
export function invalidUri(text: string, offset: number, message: string, expected: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_URI', message, {
    path: text,
    offset,
    expected,
    found: excerpt(text.slice(offset)),
  });
}

function excerpt(rest: string): string {
  if (rest === '') return 'the end of the text';
  return rest.length > EXCERPT_LENGTH
    ? `${JSON.stringify(rest.slice(0, EXCERPT_LENGTH))}…`
    : JSON.stringify(rest);
}
