import { open, type FileHandle } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { isMappedBy } from '../host/process-mappings.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import type { FileMemoryBlock } from '../qemu/memory/memory-block.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import { ioError } from '../io/fd-io.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';

/**
 * The opened memory files of a guest. Each was seen in QEMU's memory map after it was opened, so that the fate of its
 * name does not matter any more. What QEMU has mapped may change while the guest runs: see `confirm`.
 */
export class ConfirmedMemory implements AsyncDisposable {
  readonly #opened: readonly OpenedBlock[];
  /** The opened files, by block id. */
  readonly locations: Readonly<Record<string, RamLocation>>;

  private constructor(opened: readonly OpenedBlock[]) {
    this.#opened = opened;
    this.locations = Object.fromEntries(
      opened.map(({ block: { id, file }, handle: { fd } }) => [id, { fd, offset: file.offset }]),
    );
  }

  /**
   * Opens the memory files, and confirms each in QEMU's memory map.
   * @param rows QEMU's present blocks
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU is not seen to use a file, or is gone; ERR_MAPPED_RAM_IO
   */
  static async open(
    qmp: QmpClient,
    blocks: readonly FileMemoryBlock[],
    rows: readonly RamBlockRow[],
  ): Promise<ConfirmedMemory> {
    const opened: OpenedBlock[] = [];
    try {
      for (const block of blocks) {
        const { path } = block.file;
        const handle = await open(path, 'r').catch((cause: unknown) => {
          throw ioError(`cannot open the memory of block ${block.id}`, path, cause);
        });
        opened.push({ block, handle });
      }
      const memory = new ConfirmedMemory(opened);
      await memory.confirm(qmp, rows);
      return memory;
    } catch (error) {
      await closeAll(opened);
      throw error;
    }
  }

  /**
   * Confirms that QEMU uses each of the files for its block.
   * @param rows QEMU's present blocks
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU is not seen to use a file, or is gone
   */
  async confirm(qmp: QmpClient, rows: readonly RamBlockRow[]): Promise<void> {
    const { pid } = await identifyQemu(qmp);
    for (const { block, handle } of this.#opened) {
      const { path, offset } = block.file;
      const row = rows.find(({ id }) => id === block.id);
      const address = row?.hostAddress;
      const found = await handle.stat({ bigint: true });
      const isSeen =
        pid !== undefined && row !== undefined && (await isMappedBy(pid, found, { address, offset }));
      if (isSeen === true) continue;
      // A QEMU that has died has nothing mapped. The question then fails with the better error.
      await qmp.execute('query-status');
      const words = `the file of block ${block.id} is not the one any more that QEMU uses`;
      throw new MappedRamError('ERR_MAPPED_RAM_QEMU', words, { path });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAll(this.#opened);
  }
}

interface OpenedBlock {
  readonly block: FileMemoryBlock;
  readonly handle: FileHandle;
}

async function closeAll(opened: readonly OpenedBlock[]): Promise<void> {
  await Promise.all(opened.map(({ handle }) => handle.close()));
}
