import { fileURLToPath } from 'node:url';

import { MappedRamError } from '../errors.ts';
import { invalidUri, UNUSABLE, USABLE } from './invalid-uri.ts';
import { parseMigrationUri, schemeOf } from './parse-migration-uri.ts';

export interface FileTarget {
  /** A path (possibly relative), or `/dev/fdset/N`: see parseFdset. */
  readonly filename: string;
  /** Where the stream starts, in bytes, 0 to 2^53-1. */
  readonly offset: number;
}

/**
 * Where a snapshot lies, from a `file:` migration URI, a `file:` URL object or a plain path.
 *
 * A string that begins with a migration transport (`file:`, `tcp:`, …, in lower case), or is `defer`, is a URI and
 * read as QEMU reads it: `file:///x` is the path `///x`, `%20` stays `%20`. Any other string is a path, taken
 * verbatim with offset 0; write `./file:x` for a file called `file:x`. A URL object stands for the path that Node
 * makes of it, also verbatim.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for a URI QEMU would refuse, and for names that are empty, hold a
 *   NUL or half of a surrogate pair
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for transports other than file: mapped-ram has to seek
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an offset above 2^53-1
 */
export function parseFileTarget(uriOrPath: string | URL): FileTarget {
  if (typeof uriOrPath !== 'string') return { filename: toPath(uriOrPath), offset: 0 };
  const scheme = schemeOf(uriOrPath);
  if (scheme === undefined) return { filename: checkName(uriOrPath, 0, uriOrPath), offset: 0 };
  const address = scheme === 'file' ? parseMigrationUri(uriOrPath) : undefined;
  if (address?.transport !== 'file') throw notAFile(uriOrPath, scheme);
  const { filename, offset } = address;
  if (typeof offset === 'bigint') {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the offset is too large', {
      path: uriOrPath,
      expected: `at most ${Number.MAX_SAFE_INTEGER}`,
      found: String(offset),
    });
  }
  return { filename: checkName(filename, 'file:'.length, uriOrPath), offset };
}

function checkName(filename: string, start: number, whole: string): string {
  if (filename === '') throw invalidUri(whole, start, 'no file has this name', 'a name that is not empty');
  const unusable = filename.search(UNUSABLE);
  if (unusable !== -1) throw invalidUri(whole, start + unusable, 'no file has this name', USABLE);
  return filename;
}

function toPath(url: URL): string {
  if (url.protocol !== 'file:') throw notAFile(url.href, url.protocol.slice(0, -1));
  try {
    return checkName(fileURLToPath(url), 0, url.href);
  } catch (cause) {
    if (cause instanceof MappedRamError) throw cause;
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_URI', 'this URL names no local file', {
      path: url.href,
      cause,
    });
  }
}

function notAFile(uri: string, scheme: string): MappedRamError {
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
