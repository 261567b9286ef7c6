import type { SnapshotSource } from './snapshot-source.ts';
import { Snapshot } from './snapshot.ts';

/**
 * Does work with a snapshot: one that is opened for it and closed afterwards, or one that the caller has open and keeps.
 * @param signal ends whatever is being read from a snapshot that is opened here
 * @throws {MappedRamError} as `Snapshot.open`; what the work throws
 */
export async function usingSnapshot<Result>(
  source: SnapshotSource | Snapshot,
  signal: AbortSignal | undefined,
  work: (snapshot: Snapshot) => Promise<Result>,
): Promise<Result> {
  if (source instanceof Snapshot) return work(source);
  await using snapshot = await Snapshot.open(source, signal);
  // Awaited here: the snapshot is open until then.
  return await work(snapshot);
}
