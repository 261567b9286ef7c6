import { fstatSync } from 'node:fs';

import { MappedRamError } from '../errors.ts';
import type { RestoreMode } from '../negotiate/plan.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { StateStream } from './state-stream.ts';

/** Which snapshot it is, and in which version: another has one of these numbers at least different. */
export interface SnapshotIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Where the stream begins in the file, in bytes. */
  readonly offset: number;
  /** Of the file, in bytes. */
  readonly size: bigint;
  /** When the file was last written, in nanoseconds. */
  readonly mtimeNs: bigint;
}

/** Asks the open file, not its name. */
export function identify(snapshot: Snapshot): SnapshotIdentity {
  const { dev, ino, size, mtimeNs } = fstatSync(localFile(snapshot.reader, 'a state stream').fd, {
    bigint: true,
  });
  return { dev, ino, offset: snapshot.index.base, size, mtimeNs };
}

/**
 * Sees to it that a state stream was made for this very restore: another's would give the guest devices that its memory
 * knows nothing of.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when it was not, or the mode needs none
 */
export function assertStateFor(
  { options, identity }: StateStream,
  snapshot: Snapshot,
  mode: RestoreMode,
  blocks: readonly string[],
): void {
  const { path } = snapshot;
  if (mode === 'eager') {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'mode eager has no use for state: QEMU reads the snapshot itself',
      { path },
    );
  }
  const found = identify(snapshot);
  if (describe(found) !== describe(identity)) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the state stream is of another snapshot, or of this one before it was written again',
      { path, expected: describe(found), found: describe(identity) },
    );
  }
  const same = options.inPlace.toSorted().join('\n') === blocks.toSorted().join('\n');
  if (same && (options.mapped ?? false) === (mode === 'instant')) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'the state stream is for another kind of restore',
    {
      path,
      expected: `${mode}, blocks ${blocks.join(', ')}`,
      found: `${options.mapped === true ? 'instant' : 'preload'}, blocks ${options.inPlace.join(', ')}`,
    },
  );
}

function describe({ dev, ino, offset, size, mtimeNs }: SnapshotIdentity): string {
  return `device ${dev}, inode ${ino}, offset ${offset}, ${size} bytes, written at ${mtimeNs} ns`;
}
