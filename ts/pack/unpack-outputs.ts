import { rm } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { removeAbandonedFiles, StagedFile } from '../engine/staged-file.ts';
import type { TransferRegion } from '../engine/transfer.ts';
import type { Output } from '../io/output.ts';
import { assertHasPages, regionOf } from '../pages/blocks.ts';
import { HeldFiles } from '../snapshot/held-files.ts';
import { toMemory, wholeFile, type RamLocation } from '../snapshot/ram-location.ts';
import { createOutput, type TargetPlace, targetPath } from '../snapshot/snapshot-target.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';

/** One output of an unpack. */
interface Made extends AsyncDisposable {
  /** The name that the output gets; undefined when it gets none from here. */
  readonly path: string | undefined;
  readonly finish: () => Promise<void>;
  readonly publish: () => Promise<void>;
}

/** The outputs of an unpack. None appears under its name before all are complete and durable. */
export class UnpackOutputs implements AsyncDisposable {
  readonly #made: Made[] = [];
  readonly #written = new HeldFiles();
  readonly #overwrite: boolean;
  readonly #signal: AbortSignal | undefined;

  constructor(overwrite: boolean, signal: AbortSignal | undefined) {
    this.#overwrite = overwrite;
    this.#signal = signal;
  }

  /** Makes the output for the device state. */
  async state(place: TargetPlace): Promise<Output> {
    const output = await createOutput(place, { overwrite: this.#overwrite, signal: this.#signal });
    this.#made.push({
      path: targetPath(place),
      finish: () => output.finish(),
      publish: () => output.publish(),
      [Symbol.asyncDispose]: () => output[Symbol.asyncDispose](),
    });
    return output;
  }

  /** Makes the region that the engine writes a block to. */
  async region(block: MappedRamBlock, location: RamLocation, snapshot: string): Promise<TransferRegion> {
    assertHasPages(block, snapshot);
    if (location instanceof Uint8Array) {
      assertLength(location, block);
      return regionOf(block, { memory: { bufferLength: block.length }, memoryIsZero: true });
    }
    const path = wholeFile(location);
    if (path === undefined) return this.#inPlace(block, location);
    return regionOf(block, { memory: { path: await this.#ramFile(path) }, memoryIsZero: true });
  }

  /**
   * Makes all outputs durable before the first file appears, so that a lack of space leaves nothing. When a later file
   * fails, the new files are removed again.
   */
  async commit(): Promise<void> {
    for (const made of this.#made) await made.finish();
    this.#signal?.throwIfAborted();
    const published: string[] = [];
    try {
      for (const made of this.#made) {
        await made.publish();
        if (made.path !== undefined) published.push(made.path);
      }
    } catch (error) {
      if (!this.#overwrite) for (const path of published) await rm(path, { force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const made of this.#made) await made[Symbol.asyncDispose]();
    await this.#written[Symbol.asyncDispose]();
  }

  async #inPlace(block: MappedRamBlock, location: RamLocation): Promise<TransferRegion> {
    const memory = toMemory(location);
    await this.#written.hold(memory);
    return regionOf(block, { memory });
  }

  /** Makes a staged file, and returns the path to write to. */
  async #ramFile(path: string): Promise<string> {
    await removeAbandonedFiles(path);
    const file = await StagedFile.create(path, { overwrite: this.#overwrite, signal: this.#signal });
    this.#made.push({
      path,
      finish: () => file.sync(),
      publish: () => file.publish(),
      [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
    });
    return file.path;
  }
}

function assertLength(buffer: Uint8Array, { id, length }: MappedRamBlock): void {
  if (buffer.length === length) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `size of the buffer for block ${id}`, {
    expected: length,
    found: buffer.length,
  });
}
