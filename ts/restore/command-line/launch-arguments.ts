import { assertOptions, assertTexts } from '../../io/assert-options.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { modeOf, type RestoreMode } from '../modes/modes.ts';
import { type LaunchArguments, LaunchPlan, type MemoryFiles } from './launch-plan.ts';
import { parseCommandLine } from './options.ts';
import type { SnapshotSource } from '../../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../../snapshot/using-snapshot.ts';

export interface LaunchOptions {
  /** The mode, which decides where the guest's memory comes from. */
  readonly mode: RestoreMode;
  /** The command line of the QEMU that is to take the guest over, without the binary. */
  readonly args: readonly string[];
  /**
   * The files that hold the memory of blocks, by block id: for `preload` the files of `preloadRam`, for `instant` other
   * names of the snapshot. @default for `instant` the snapshot's path
   */
  readonly files?: MemoryFiles | undefined;
}

/**
 * Turns a command line for a fresh guest into one that takes a snapshot over. Memory backends with the names of the
 * snapshot's blocks replace the caller's (`-numa node,memdev=` too); `-m`, `-machine` and `-incoming defer` are added
 * where they are missing. Nothing is started, and nothing stays open.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming everything in the command line that does not go with
 *   the snapshot or the mode; ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_UNSUPPORTED as `Snapshot.completeRam`
 */
export async function launchArguments(
  source: SnapshotSource | Snapshot,
  options: LaunchOptions,
): Promise<LaunchArguments> {
  assertOptions(options);
  assertTexts('args', options.args);
  return usingSnapshot(source, undefined, async (snapshot) => launchArgumentsFor(snapshot, options));
}

/** Does the same for a snapshot that is open. @throws {MappedRamError} as `launchArguments` */
export function launchArgumentsFor(
  snapshot: Snapshot,
  { mode, args, files = {} }: LaunchOptions,
): LaunchArguments {
  return new LaunchPlan(snapshot, modeOf(mode), parseCommandLine(args)).launchWith(files);
}
