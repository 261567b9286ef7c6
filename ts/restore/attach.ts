import { assertClient } from '../qmp/assert-client.ts';
import { assertOptions, assertTexts } from '../io/assert-options.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { assertRestoreWords } from './assert-options.ts';
import { type AttachOptions, type AttachResult, examine, loadExamined } from './examine.ts';
import { modeOf } from './modes/modes.ts';

/**
 * Lets a QEMU that was started with `-incoming defer` take a guest over. First compares the two, and refuses with every
 * reason against it. QEMU stays the caller's. After an error the caller has to end it, for it cannot try twice.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot does not fit this QEMU, naming every
 *   mismatch, or for options that have no use in the mode; ERR_MAPPED_RAM_UNSUPPORTED for options that a plain stream
 *   has no use for; ERR_MAPPED_RAM_INCOMPLETE; ERR_MAPPED_RAM_QEMU when QEMU refuses, fails or dies;
 *   ERR_MAPPED_RAM_TIMEOUT when it takes too long; ERR_MAPPED_RAM_BUSY when somebody writes the snapshot, or uses a
 *   memory file that QEMU is to load into; as
 *   `Snapshot.open`, `openStateStream` and `negotiate`
 */
export async function attach(
  qmp: QmpClient,
  source: SnapshotSource | Snapshot,
  options: AttachOptions = {},
): Promise<AttachResult> {
  assertClient(qmp);
  assertOptions(options);
  options.signal?.throwIfAborted();
  if (options.blocks !== undefined) assertTexts('blocks', options.blocks);
  assertRestoreWords(options);
  if (options.mode !== undefined) modeOf(options.mode);
  return usingSnapshot(source, options.signal, (snapshot) => attachSnapshot(qmp, snapshot, options));
}

async function attachSnapshot(
  qmp: QmpClient,
  snapshot: Snapshot,
  options: AttachOptions,
): Promise<AttachResult> {
  const startedAt = performance.now();
  const examined = await examine(qmp, snapshot, options);
  const { readyAt, ...loaded } = await loadExamined(examined, options);
  return { ...loaded, elapsedMs: readyAt - startedAt };
}
