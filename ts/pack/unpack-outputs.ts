import { assertHasPages, regionOf } from '../pages/blocks.ts';
import { rm } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { TransferRegion } from '../engine/transfer.ts';
import { removeAbandonedFiles, StagedFile } from '../engine/staged-file.ts';
import { toMemory, wholeFile, type RamLocation } from '../snapshot/ram-location.ts';

/** The files that an unpack makes: none appears before all are complete and durable. */
export class UnpackOutputs implements AsyncDisposable {
  readonly #staged: { readonly path: string; readonly file: StagedFile }[] = [];
  readonly #overwrite: boolean;
  readonly #signal: AbortSignal | undefined;

  constructor(overwrite: boolean, signal: AbortSignal | undefined) {
    this.#overwrite = overwrite;
    this.#signal = signal;
  }

  async stage(path: string): Promise<StagedFile> {
    await removeAbandonedFiles(path);
    const file = await StagedFile.create(path, { overwrite: this.#overwrite, signal: this.#signal });
    this.#staged.push({ path, file });
    return file;
  }

  /** Where the engine is to put a block. */
  async region(block: MappedRamBlock, location: RamLocation, snapshot: string): Promise<TransferRegion> {
    assertHasPages(block, snapshot);
    const place = regionOf(block);
    if (location instanceof Uint8Array) {
      assertLength(location, block);
      return { ...place, memory: { bufferLength: block.length }, memoryIsZero: true };
    }
    const path = wholeFile(location);
    if (path === undefined) return { ...place, memory: toMemory(location) };
    const { path: partial } = await this.stage(path);
    return { ...place, memory: { path: partial }, memoryIsZero: true };
  }

  /** What can fail for want of space fails before the first file appears; what was new goes again if a later one fails. */
  async commit(): Promise<void> {
    for (const { file } of this.#staged) await file.sync();
    const published: string[] = [];
    try {
      for (const { path, file } of this.#staged) {
        await file.publish();
        published.push(path);
      }
    } catch (error) {
      if (!this.#overwrite) for (const path of published) await rm(path, { force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { file } of this.#staged) file.discard();
  }
}

function assertLength(buffer: Uint8Array, { id, length }: MappedRamBlock): void {
  if (buffer.length === length) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `size of the buffer for block ${id}`, {
    expected: length,
    found: buffer.length,
  });
}
