import { MappedRamError } from '../../errors.ts';
import type { ByteOutput } from '../../io/output.ts';
import { Snapshot } from '../../snapshot/snapshot.ts';
import type { SnapshotSource } from '../../snapshot/snapshot-source.ts';
import {
  type GlobalState,
  readGlobalState,
  runStatePatch,
  stateToRecord,
} from '../../stream/global-state.ts';
import { isLive } from './assert-run-state.ts';

/**
 * Makes a stream that QEMU has written record the run state that the guest had before it was stopped for the save. QEMU
 * records the state in which it found the guest: paused, by us (docs/format.md §1.4).
 * @param before the run state before the save
 * @returns warnings in words
 * @throws {MappedRamError} as `Snapshot.open` and the output
 */
export async function recordRunState(
  source: SnapshotSource,
  output: ByteOutput,
  before: string,
): Promise<readonly string[]> {
  const found = await readRecorded(source);
  if (found === undefined) return isLive(before) ? [notRecorded(before)] : [];
  const wanted = stateToRecord(before, found);
  if (wanted === found.runState) return [];
  const { bytes, offset } = runStatePatch(found, wanted);
  await output.writeAt(bytes, offset);
  return [];
}

/** States of a guest that has not come to an end of its own. */
const GOES_ON: ReadonlySet<string> = new Set(['running', 'paused', 'suspended', 'prelaunch']);

/**
 * Tells how a guest has come to an end of its own, by what QEMU has recorded.
 * @returns the run state; undefined when the guest can go on, or nothing is recorded
 * @throws {MappedRamError} as `Snapshot.open`
 */
export async function endedAs(source: SnapshotSource): Promise<string | undefined> {
  const { runState } = (await readRecorded(source)) ?? {};
  return runState === undefined || GOES_ON.has(runState) ? undefined : runState;
}

/** The warning that a stream records `paused` for a guest that was alive. */
export function notRecorded(before: string): string {
  return `the guest was ${before} until the save stopped it, but what was written says that it was paused: a restore that is to leave the guest as it was saved leaves it stopped`;
}

async function readRecorded(source: SnapshotSource): Promise<GlobalState | undefined> {
  try {
    await using snapshot = await Snapshot.open(source);
    return await readGlobalState(snapshot.reader, snapshot.index);
  } catch (error) {
    // The checks of the save tell what is wrong with the stream.
    if (error instanceof MappedRamError) return undefined;
    throw error;
  }
}
