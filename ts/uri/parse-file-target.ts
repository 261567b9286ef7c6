import { MappedRamError } from '../errors.ts';
import { checkFileName, notAFile } from './file-names.ts';
import { parseMigrationUri, schemeOf } from './parse-migration-uri.ts';

/** A file and a place in it, as `parseFileTarget` reads them. */
export interface FileTarget {
  /** A path (possibly relative), or `/dev/fdset/N`: see parseFdset. */
  readonly filename: string;
  /** Offset of the stream in bytes, 0 to 2^53-1. */
  readonly offset: number;
}

/**
 * Reads the place of a snapshot from a `file:` migration URI or a plain path.
 *
 * A string that begins with a migration transport (`file:`, `tcp:`, …, in lower case), or is `defer`, is a URI and read
 * as QEMU reads it: `file:///x` is the path `///x`, `%20` stays `%20`. Any other string is a path, taken verbatim with
 * offset 0; write `./file:x` for a file called `file:x`.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for a URI QEMU would refuse, and for names that are empty, hold a
 *   NUL or half of a surrogate pair
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for transports other than file: mapped-ram has to seek
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an offset above 2^53-1
 */
export function parseFileTarget(uriOrPath: string): FileTarget {
  const scheme = schemeOf(uriOrPath);
  if (scheme === undefined) return { filename: checkFileName(uriOrPath, 0, uriOrPath), offset: 0 };
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
  return { filename: checkFileName(filename, 'file:'.length, uriOrPath), offset };
}
