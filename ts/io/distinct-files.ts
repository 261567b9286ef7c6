import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { MappedRamError } from '../errors.ts';

/** A file that takes part in an operation. */
export interface NamedFile {
  /** The name that errors use: `the state`, `the RAM of block pc.ram`. */
  readonly role: string;
  readonly path: string;
}

/** A file that takes part if it has a path. */
export function namedFile(role: string, path: string | undefined): readonly NamedFile[] {
  return path === undefined ? [] : [{ role, path }];
}

/**
 * Refuses one file in two roles: each role would overwrite what the other needs.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export async function assertDistinct(files: readonly NamedFile[]): Promise<void> {
  const seen = new Map<string, NamedFile>();
  for (const file of files) {
    const identity = await identityOf(file.path);
    const other = seen.get(identity);
    if (other !== undefined) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_INVALID_ARGUMENT',
        `${other.role} and ${file.role} are the same file`,
        {
          path: file.path,
        },
      );
    }
    seen.set(identity, file);
  }
}

/** The identity that tells a file from others: its inode, or for a new file its place in its directory. */
async function identityOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  if (stats !== undefined) return `${stats.dev}:${stats.ino}`;
  const whole = resolve(path);
  const directory = await realpath(dirname(whole)).catch(() => dirname(whole));
  return join(directory, basename(whole));
}
