import { MappedRamError } from '../errors.ts';
import { invalidUri, UNUSABLE, USABLE } from './invalid-uri.ts';

/**
 * Checks a file's name, and returns it as it stands.
 * @param start index in `whole` where the name begins
 * @param whole the caller's text, which errors name
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for a name that is empty, holds a NUL or half of a surrogate pair
 */
export function checkFileName(filename: string, start: number, whole: string): string {
  if (filename === '') throw invalidUri(whole, start, 'no file has this name', 'a name that is not empty');
  const unusable = filename.search(UNUSABLE);
  if (unusable !== -1) throw invalidUri(whole, start + unusable, 'no file has this name', USABLE);
  return filename;
}

/** The error for a URI, or a URL, of a transport other than file. */
export function notAFile(uri: string, scheme: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', reasonAgainst(scheme), {
    path: uri,
    expected: 'a file: URI or a path',
    found: `transport ${scheme}`,
  });
}

function reasonAgainst(scheme: string): string {
  if (scheme === 'fd') {
    return 'QEMU refuses fd: for mapped-ram; put the descriptor into an fd set with add-fd and use file:/dev/fdset/N';
  }
  if (scheme === 'defer') return 'defer names no place (a file of this name is ./defer)';
  return `a snapshot needs a file to seek in, and ${scheme}: gives none (a file whose name begins so is ./${scheme}:…)`;
}
