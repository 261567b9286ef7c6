import { existsSync } from 'node:fs';

import { messageOf } from '../errors.ts';
import type { LocalFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { type MappedSnapshot, mappedSnapshot } from './mapped-snapshot.ts';
import { readWorkingSet, type WorkingSet, workingSetPath } from './working-set-file.ts';

/** A working set, and the snapshot whose pages it names. */
export interface FoundWorkingSet {
  readonly path: string;
  readonly snapshot: MappedSnapshot;
  readonly pages: WorkingSet;
}

/**
 * Finds the working set of a snapshot; of a delta that of its base.
 * @param path of the working set; undefined for the one beside the snapshot, if there is one that fits
 * @returns nothing when there is none, with a warning when there is one that does not fit
 * @throws {MappedRamError} for a `path` that was given, as `readWorkingSet`
 */
export async function findWorkingSet(
  opened: Snapshot,
  path?: string,
): Promise<{ readonly found?: FoundWorkingSet; readonly warnings: readonly string[] }> {
  const { file } = opened.mappable.reader;
  const from = path ?? besideOf(file);
  if (file === undefined || from === undefined) return { warnings: [] };
  try {
    const snapshot = await mappedSnapshot(opened);
    return { found: { path: from, snapshot, pages: await readWorkingSet(from, snapshot) }, warnings: [] };
  } catch (error) {
    if (path !== undefined) throw error;
    return { warnings: [`no working set was read ahead: ${messageOf(error)}`] };
  }
}

/** The working set beside a snapshot, if there is one. */
function besideOf(file: LocalFile | undefined): string | undefined {
  const path = file && workingSetPath(file);
  return path !== undefined && existsSync(path) ? path : undefined;
}
