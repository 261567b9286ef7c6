import type { SnapshotSource } from './snapshot-source.ts';
import { Snapshot } from './snapshot.ts';

/**
 * Does work with a snapshot. A snapshot that is opened for the work is closed afterwards; one that the caller has open
 * stays open.
 * @param signal ends all reading for the work
 * @throws {MappedRamError} as `Snapshot.open`; the work's errors
 */
export async function usingSnapshot<Result>(
  source: SnapshotSource | Snapshot,
  signal: AbortSignal | undefined,
  work: (snapshot: Snapshot) => Promise<Result>,
): Promise<Result> {
  if (source instanceof Snapshot) return work(source.until(signal));
  await using snapshot = await Snapshot.open(source, signal);
  // The snapshot is open until the work, which is awaited here, has ended.
  return await work(snapshot);
}
