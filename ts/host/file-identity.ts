import { fstatSync, statSync } from 'node:fs';

/** The identity of a file, as bigint stats have it. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

/**
 * Identifies the file that has a path or is behind a descriptor.
 * @returns undefined when there is no such file, or this process may not look
 */
export function identityOf(file: string | number): FileIdentity | undefined {
  try {
    const { dev, ino } =
      typeof file === 'number' ? fstatSync(file, { bigint: true }) : statSync(file, { bigint: true });
    return { dev, ino };
  } catch {
    return undefined;
  }
}

/** Tells whether two identities are of one file, whatever its names are. */
export function isSameFile(one: FileIdentity, other: FileIdentity): boolean {
  return one.dev === other.dev && one.ino === other.ino;
}
