import { fstatSync } from 'node:fs';

import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** Which snapshot it is, and in which version: another has one of these numbers at least different. */
export interface SnapshotIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Where the stream begins in the file, in bytes. */
  readonly offset: number;
  /** Size of the file in bytes. */
  readonly size: bigint;
  /** When the file was last written, in nanoseconds. */
  readonly mtimeNs: bigint;
}

/** Identifies a snapshot by the open file, not by its name. */
export function identify(snapshot: Snapshot): SnapshotIdentity {
  const { dev, ino, size, mtimeNs } = fstatSync(localFile(snapshot.reader, 'a state stream').fd, {
    bigint: true,
  });
  return { dev, ino, offset: snapshot.index.base, size, mtimeNs };
}

/** Says an identity in words, so that two of them can be compared and shown. */
export function describeIdentity({ dev, ino, offset, size, mtimeNs }: SnapshotIdentity): string {
  return `device ${dev}, inode ${ino}, offset ${offset}, ${size} bytes, written at ${mtimeNs} ns`;
}
