import { fstatSync } from 'node:fs';

import type { FileIdentity } from '../host/file-identity.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** The identity of a snapshot and its version: any other differs in at least one of these numbers. */
export interface SnapshotIdentity extends FileIdentity {
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** Size of the file in bytes. */
  readonly size: bigint;
  /** Time of the last write to the file, in nanoseconds. */
  readonly mtimeNs: bigint;
}

/** Identifies a snapshot by the open file, not by its name. */
export function identify(snapshot: Snapshot): SnapshotIdentity {
  const { dev, ino, size, mtimeNs } = fstatSync(localFile(snapshot.reader, 'a state stream').fd, {
    bigint: true,
  });
  return { dev, ino, offset: snapshot.index.base, size, mtimeNs };
}

/** Describes an identity in words, so that two of them can be compared and shown. */
export function describeIdentity({ dev, ino, offset, size, mtimeNs }: SnapshotIdentity): string {
  return `device ${dev}, inode ${ino}, offset ${offset}, ${size} bytes, written at ${mtimeNs} ns`;
}
