import type { WaitOptions } from '../../host/wait-within.ts';
import { countSetPages } from '../../pages/bitmap-reader.ts';
import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import { queryWritableBlocks } from '../../qemu/memory/process-memory.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { answerOf } from '../../qmp/refusal.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/**
 * Finds blocks that QEMU would have to read into memory that it has mapped read-only: that kills it.
 * @param inPlace the blocks that QEMU does not read, by id
 */
export async function readOnlyProblems(
  qmp: QmpClient,
  snapshot: Snapshot,
  memory: readonly MemoryBlock[],
  inPlace: readonly string[],
  wait: WaitOptions,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const block of snapshot.completeRam(true).blocks) {
    const backend = memory.find(({ id }) => id === block.id)?.backend;
    if (backend?.path === undefined || block.skipped || inPlace.includes(block.id)) continue;
    // Older QEMUs lack the property rom, and all others than files lack both.
    const ask = async (property: string): Promise<unknown> =>
      answerOf(qmp.execute('qom-get', { path: `/objects/${backend.id}`, property }, wait));
    const [readOnly, rom] = await Promise.all([ask('readonly'), ask('rom')]);
    const isReadOnly = rom === 'on' || (readOnly === true && rom !== 'off');
    if (!isReadOnly || (await countSetPages(snapshot.reader, block)) === 0) continue;
    problems.push(
      `object ${backend.id} (${backend.path}) is read-only in QEMU, so the saved content of block ${block.id} cannot come: leave readonly=on out, or give the object a copy of the file with share=off,rom=off`,
    );
  }
  return problems;
}

/**
 * Finds blocks that are mapped out of the snapshot by a QEMU that may write into it.
 * @param path of the file that has the memory
 * @param inPlace the blocks, by id
 */
export async function writableWarnings(
  qmp: QmpClient,
  path: string,
  inPlace: readonly string[],
  wait: WaitOptions,
): Promise<readonly string[]> {
  const writable = await queryWritableBlocks(qmp, inPlace, wait);
  if (writable.length === 0) return [];
  return [
    `QEMU has opened ${path} for writing (${writable.join(', ')}): memory that the guest gives back becomes holes in it, and no save can stand on it; start QEMU with readonly=on,rom=off, as launchArguments says`,
  ];
}
