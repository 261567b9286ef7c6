import { mayReadProcess } from '../engine/process/changed-pages.ts';
import { MappedRamError } from '../errors.ts';
import { type AvailableMemory, availableMemory } from '../host/available-memory.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { countOwnBytes } from '../negotiate/capture/capture-facts.ts';
import { dataInMemory } from '../qemu/memory/data-in-memory.ts';
import { lookAtProcessMemory, type ProcessMemory } from '../qemu/memory/process-memory.ts';
import { queryRamBlocks, type RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { ForkForm } from './fork-options.ts';

/** The memory that a fork takes, and the host's answer. */
export class MemoryDemand {
  readonly #qmp: QmpClient;
  readonly #form: ForkForm;
  readonly #available: () => AvailableMemory | undefined;

  /** @param available tells what is left, for tests */
  constructor(
    qmp: QmpClient,
    form: ForkForm,
    available: () => AvailableMemory | undefined = availableMemory,
  ) {
    this.#qmp = qmp;
    this.#form = form;
    this.#available = available;
  }

  /**
   * Refuses a fork for which the memory that is left will not do: the guest's pages, or twice those that have changed,
   * in the delta and in the stream that brings them. The guest is looked at only where all of its memory would be too
   * much. What nobody knows is no obstacle.
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO with the bytes wanted and found; as {@link QmpClient.execute}
   */
  async assertFits(wait: WaitOptions): Promise<void> {
    const available = this.#available();
    if (available === undefined) return;
    const rows = (await queryRamBlocks(this.#qmp, wait)) ?? [];
    const copies = this.#form === 'delta' ? 2 : 1;
    const most = copies * rows.reduce((sum, { usedLength }) => sum + usedLength, 0);
    if (available.bytes >= most) return;
    const memory = await lookAtProcessMemory(this.#qmp, rows, wait);
    if (typeof memory === 'string') return;
    const [first] = memory.blocks;
    const isReadable = first !== undefined && (await mayReadProcess(memory.pid, first.address)) === undefined;
    if (!isReadable) return;
    const needed =
      copies * (this.#form === 'delta' ? await countOwnBytes(memory) : await inUse(memory, rows));
    if (available.bytes >= needed) return;
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'too little memory for the fork', {
      expected: `${needed} bytes`,
      found: `${available.bytes} bytes, by ${available.limitedBy}`,
      cause: Object.assign(new Error('cannot allocate memory'), { code: 'ENOMEM' }),
    });
  }
}

/** Bytes that a guest has in use: pages that exist in memory of QEMU's own, and data in files beneath the rest. */
async function inUse({ pid, blocks }: ProcessMemory, rows: readonly RamBlockRow[]): Promise<number> {
  const own = blocks.filter(({ beneath }) => beneath.kind === 'anonymous');
  const inFiles = rows.filter(({ id }) => !own.some((block) => block.id === id));
  // Pages of QEMU's own need not be read to be counted, which is quick.
  const [mine, shared] = await Promise.all([
    countOwnBytes({ pid, blocks: own }),
    dataInMemory(pid, inFiles, Number.POSITIVE_INFINITY),
  ]);
  return mine + shared;
}
