import { open, type FileHandle } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { isMappedBy } from '../host/process-mappings.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import type { FileMemoryBlock } from '../qemu/memory-block.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { RamBlockRow } from '../qemu/query-ram-blocks.ts';
import { ioError } from '../io/fd-io.ts';
import type { RamLocation } from '../snapshot/ram-location.ts';

/**
 * The opened memory files of a guest. Each was seen in QEMU's memory map after it was opened, so that the fate of its
 * name does not matter any more.
 */
export class ConfirmedMemory implements AsyncDisposable {
  readonly #handles: readonly FileHandle[];
  /** The opened files, by block id. */
  readonly locations: Readonly<Record<string, RamLocation>>;

  private constructor(handles: readonly FileHandle[], locations: Readonly<Record<string, RamLocation>>) {
    this.#handles = handles;
    this.locations = locations;
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
    const handles: FileHandle[] = [];
    const locations: Record<string, RamLocation> = {};
    const { pid } = await identifyQemu(qmp);
    try {
      for (const { id, file } of blocks) {
        const { path, offset } = file;
        const handle = await open(path, 'r').catch((cause: unknown) => {
          throw ioError(`cannot open the memory of block ${id}`, path, cause);
        });
        handles.push(handle);
        const row = rows.find((candidate) => candidate.id === id);
        const address = row?.hostAddress;
        const found = await handle.stat({ bigint: true });
        const isSeen =
          pid !== undefined && row !== undefined && (await isMappedBy(pid, found, { address, offset }));
        if (isSeen !== true) {
          // A QEMU that has died has nothing mapped. The question then fails with the better error.
          await qmp.execute('query-status');
          const words = `the file of block ${id} is not the one any more that QEMU uses`;
          throw new MappedRamError('ERR_MAPPED_RAM_QEMU', words, { path });
        }
        locations[id] = { fd: handle.fd, offset };
      }
      return new ConfirmedMemory(handles, locations);
    } catch (error) {
      await closeAll(handles);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeAll(this.#handles);
  }
}

async function closeAll(handles: readonly FileHandle[]): Promise<void> {
  await Promise.all(handles.map((handle) => handle.close()));
}
