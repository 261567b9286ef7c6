import { MappedRamError } from '../errors.ts';
import { fileTargetOf } from '../io/file-target.ts';
import { parseFdset } from '../uri/parse-fdset.ts';
import type { FileTarget } from '../uri/parse-file-target.ts';

/**
 * Where a snapshot lies, out of a migration URI, a path or a URL.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for transports that cannot seek and for `/dev/fdset/N`, which is a
 * name that only a running QEMU understands; ERR_MAPPED_RAM_INVALID_URI
 */
export function snapshotPath(uri: string | URL): FileTarget {
  const target = fileTargetOf(uri);
  if (parseFdset(target.filename) !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'an fdset exists only inside a running QEMU', {
      path: target.filename,
      expected: 'a path',
    });
  }
  return target;
}
