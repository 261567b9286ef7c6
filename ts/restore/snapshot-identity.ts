import { fstatSync } from 'node:fs';

import type { FileIdentity } from '../host/file-identity.ts';
import { localFile, type OpenSource } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** The identity of a file and its version: any other differs in at least one of these numbers. */
export interface VersionIdentity extends FileIdentity {
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** Size of the file in bytes. */
  readonly size: bigint;
  /** Time of the last write to the file, in nanoseconds. */
  readonly mtimeNs: bigint;
}

/** The identity of a snapshot and its version: any other differs in at least one of these numbers. */
export interface SnapshotIdentity extends VersionIdentity {
  /** The base of a delta; undefined for a snapshot that is whole. */
  readonly base?: VersionIdentity | undefined;
}

/** Identifies a snapshot by the open files, not by their names. @internal */
export function identify({ sources, index, base }: Snapshot): SnapshotIdentity {
  const [own, below] = sources;
  return {
    ...versionOf(own, index.base),
    base: base === undefined ? undefined : versionOf(below, base.index.base),
  };
}

/** Describes an identity in words, so that two of them can be compared and shown. */
export function describeIdentity(identity: SnapshotIdentity): string {
  const { base } = identity;
  return base === undefined ? wordsOf(identity) : `${wordsOf(identity)}, over ${wordsOf(base)}`;
}

function versionOf(source: OpenSource | undefined, offset: number): VersionIdentity {
  const { fd } = localFile(source ?? { name: 'the snapshot', file: undefined }, 'a state stream');
  const { dev, ino, size, mtimeNs } = fstatSync(fd, { bigint: true });
  return { dev, ino, offset, size, mtimeNs };
}

function wordsOf({ dev, ino, offset, size, mtimeNs }: VersionIdentity): string {
  return `device ${dev}, inode ${ino}, offset ${offset}, ${size} bytes, written at ${mtimeNs} ns`;
}
