import { bytesHeld } from '../host/process-memory.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { MemoryBlock } from '../qemu/memory/memory-block.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import { queryRamBlocks } from '../qemu/memory/query-ram-blocks.ts';
import type { QmpClient } from '../qmp/client.ts';
import { engineBlocks, LARGE_BLOCK } from './engine-blocks.ts';

/**
 * Looks at how much the large blocks of devices hold: flash and video memory are mostly empty, and empty pages cost
 * QEMU next to nothing (docs/format.md §3). Nothing is asked unless the engine could write the guest's other memory.
 * That memory was seen in the very process that is looked into.
 *
 * A memory backend is not measured: a guest fills its memory while it runs.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function measureDevices(
  qmp: QmpClient,
  memory: readonly MemoryBlock[],
  options: WaitOptions = {},
): Promise<readonly MemoryBlock[]> {
  const { reachable, private: large } = engineBlocks(memory);
  const isSeen = reachable.some(({ file }) => file.confirmed);
  if (large.length === 0 || !isSeen) return memory;
  const { pid: holder } = await identifyQemu(qmp, options);
  if (holder === undefined) return memory;
  const rows = (await queryRamBlocks(qmp, options)) ?? [];
  return Promise.all(
    memory.map(async (block) => {
      if (!large.includes(block) || block.backend !== undefined) return block;
      const found = rows.filter(({ id }) => id === block.id);
      const [row] = found;
      const address = row?.hostAddress;
      const place =
        row === undefined || address === undefined ? undefined : { address, length: row.usedLength };
      // Two blocks of one name could be mistaken for each other.
      const heldBytes =
        place !== undefined && found.length === 1 ? await bytesHeld(holder, place, LARGE_BLOCK) : undefined;
      return { ...block, heldBytes, why: `${block.why}, and ${inWords(heldBytes)}` };
    }),
  );
}

function inWords(heldBytes: number | undefined): string {
  if (heldBytes === undefined) return 'how much of it is in use cannot be seen';
  const size = `${LARGE_BLOCK / 1024 / 1024} MiB`;
  return heldBytes > LARGE_BLOCK ? `more than ${size} of it is in use` : `less than ${size} of it is in use`;
}
