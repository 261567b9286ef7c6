import { bytesHeld } from '../host/process-memory.ts';
import { type Stretch, touchedPages } from '../host/touched-pages.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { queryRamBlocks, type RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { mayWriteRam, writesRam } from '../stream/default-ram.ts';

/** The QEMU that waits for a guest. */
interface Waiting {
  readonly qmp: QmpClient;
  /** QEMU's process, when it is known. */
  readonly pid: number | undefined;
  /** The machine type of the snapshot, which is QEMU's. */
  readonly machine: string;
}

/** A part of a block. */
interface TouchedPart extends Stretch {
  /** Its address in QEMU's address space. */
  readonly address: number;
}

/**
 * Finds the parts of blocks into which the board may have written before the guest comes: a device tree, for example
 * (docs/format.md §4.2). Whatever is there has to make way for the guest's memory. Nothing is looked up for machines
 * whose boards are known to leave RAM alone.
 *
 * @param ids the blocks to look at
 * @returns the parts of each block; undefined for a block of a board that writes, when they cannot be seen
 */
export async function writtenByBoard(
  { qmp, pid, machine }: Waiting,
  ids: readonly string[],
  wait: WaitOptions,
): Promise<ReadonlyMap<string, readonly TouchedPart[] | undefined>> {
  const found = new Map<string, readonly TouchedPart[] | undefined>();
  if (!mayWriteRam(machine)) return found;
  const rows = pid === undefined ? [] : ((await queryRamBlocks(qmp, wait)) ?? []);
  const pageSize = Math.min(...rows.map(({ hostPageSize }) => hostPageSize));
  for (const id of ids) {
    const named = rows.filter((row) => row.id === id);
    const [row] = named;
    const seen =
      pid === undefined || row === undefined || named.length > 1
        ? undefined
        : await touchedOf(pid, row, pageSize).catch(() => undefined);
    if (seen !== undefined || writesRam(machine)) found.set(id, seen);
  }
  return found;
}

/** The pages of a block that QEMU has touched. */
async function touchedOf(
  pid: number,
  { hostAddress, usedLength }: RamBlockRow,
  pageSize: number,
): Promise<readonly TouchedPart[] | undefined> {
  if (hostAddress === undefined) return undefined;
  const place = { address: hostAddress, length: Math.ceil(usedLength / pageSize) * pageSize };
  const parts = await touchedPages(pid, place, pageSize);
  return parts.map(({ offset, length }) => ({ offset, length, address: hostAddress + offset }));
}

/** Lists the blocks in which the board has left data, or may have. */
export async function blocksWithData(
  waiting: Waiting,
  snapshot: Snapshot,
  wait: WaitOptions,
): Promise<readonly string[]> {
  const ids = snapshot.completeRam(true).blocks.map(({ id }) => id);
  const found: string[] = [];
  for (const [id, parts] of await writtenByBoard(waiting, ids, wait)) {
    if (await holdsData(waiting.pid, parts)) found.push(id);
  }
  return found;
}

async function holdsData(
  pid: number | undefined,
  parts: readonly TouchedPart[] | undefined,
): Promise<boolean> {
  if (pid === undefined || parts === undefined) return true;
  for (const part of parts) {
    if ((await bytesHeld(pid, part, 0)) !== 0) return true;
  }
  return false;
}
