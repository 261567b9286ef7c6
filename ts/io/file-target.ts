import { fileURLToPath } from 'node:url';

import { MappedRamError } from '../errors.ts';
import { checkFileName, notAFile } from '../uri/file-names.ts';
import { parseFileTarget, type FileTarget } from '../uri/parse-file-target.ts';

/**
 * Finds the place of a snapshot: of a URI or a path as `parseFileTarget` does, or of a `file:` URL object. The URL
 * stands for the path that Node makes of it, verbatim and with offset 0.
 *
 * @throws {MappedRamError} as `parseFileTarget`; ERR_MAPPED_RAM_INVALID_URI for a URL that names no local file
 */
export function fileTargetOf(target: string | URL): FileTarget {
  return typeof target === 'string' ? parseFileTarget(target) : { filename: pathOf(target), offset: 0 };
}

function pathOf(url: URL): string {
  if (url.protocol !== 'file:') throw notAFile(url.href, url.protocol.slice(0, -1));
  try {
    return checkFileName(fileURLToPath(url), 0, url.href);
  } catch (cause) {
    if (cause instanceof MappedRamError) throw cause;
    const message = 'this URL names no local file';
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_URI', message, { path: url.href, cause });
  }
}
