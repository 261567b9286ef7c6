import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MappedRamError } from '../errors.ts';
import type { PlainRamIndex, StreamIndex } from '../stream/stream-index.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import { assertBlocksExist } from '../pages/blocks.ts';
import { sealPathFor } from '../seal/seal-file.ts';
import type { Sealing } from '../seal/sealing.ts';
import type { TransferMemory } from '../engine/transfer.ts';
import { assertDistinct, namedPlace, namedSource } from '../snapshot/distinct-places.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { RecordingOutput } from '../io/recording-output.ts';
import { savePages } from '../pages/save-pages.ts';
import type { PackOptions, PackResult } from './pack-options.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { PageSpool } from './page-spool.ts';
import { assertSize, locationsFor, ramFiles, toMemory, type RamLocation } from '../snapshot/ram-location.ts';
import { type TargetPlace, targetPath } from '../snapshot/snapshot-target.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { isVirtioMem } from '../stream/virtio-mem.ts';
import { writePieces } from '../io/write-pieces.ts';

interface PackingHooks {
  /** Called as soon as all of the memory has been read; the memory may change from then on. */
  readonly onMemoryRead?: (() => Promise<void>) | undefined;
  /** Receives the digests. */
  readonly sealing?: Sealing | undefined;
}

/** The parts of a snapshot to be: a state and RAM that were found to go together. */
export class Packing implements AsyncDisposable {
  readonly #state: OpenSource;
  readonly #index: StreamIndex;
  /** Closes the state, unless the caller has it open. */
  readonly #close: () => Promise<void>;
  readonly #ram: PlainRamIndex;
  readonly #given: ReadonlyMap<string, RamLocation>;
  /** The path that temporary files are made beside. */
  readonly #beside: string;

  private constructor(
    { reader, index }: Snapshot,
    close: () => Promise<void>,
    ram: PlainRamIndex,
    given: ReadonlyMap<string, RamLocation>,
    beside: string,
  ) {
    this.#state = reader;
    this.#index = index;
    this.#close = close;
    this.#ram = ram;
    this.#given = given;
    this.#beside = beside;
  }

  /**
   * Opens the state, and checks everything that can be known before a byte moves.
   * @param target the snapshot's place, when it has one
   * @throws {MappedRamError} as `pack`
   */
  static async open(options: PackOptions, target: TargetPlace | undefined): Promise<Packing> {
    const { signal } = options;
    const isOpen = options.state instanceof Snapshot;
    const snapshot = isOpen ? options.state.until(signal) : await Snapshot.open(options.state, signal);
    const close = async (): Promise<void> => (isOpen ? undefined : snapshot.close());
    const path = target && targetPath(target);
    try {
      const { reader: state, index } = snapshot;
      const ram = plainRam(index, state.name);
      const given = locationsFor(options.ram ?? {}, ram.blocks, state.name);
      for (const block of ram.blocks) {
        const location = given.get(block.id);
        if (location !== undefined) await assertSize(location, block);
      }
      await assertDistinct([
        ...namedPlace('the snapshot', target),
        ...(options.seal === true ? [{ role: 'the seal', path: sealPathFor(path, options.sealPath) }] : []),
        ...namedSource('the state', state),
        ...ramFiles(given),
      ]);
      const { storeZeroPages = 'firmware' } = options;
      if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, ram.blocks, state.name);
      const beside = path ?? state.file?.path ?? join(tmpdir(), 'mapped-ram');
      return new Packing(snapshot, close, ram, given, beside);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /**
   * Writes the whole snapshot, but does not make it durable or visible.
   * @throws {MappedRamError} as `pack`
   */
  async write(
    output: Output,
    options: PackOptions,
    { onMemoryRead, sealing }: PackingHooks = {},
  ): Promise<Omit<PackResult, 'seal' | 'elapsedMs'>> {
    const { signal, storeZeroPages = 'firmware' } = options;
    const [state, index, ram] = [this.#state, this.#index, this.#ram];
    const rest = ram.blocks.filter(({ id }) => !this.#given.has(id));
    await using spool = await PageSpool.collect(state, index.base, rest, ram.targetPageSize, this.#beside);
    signal?.throwIfAborted();
    const configuration = mappedConfiguration(index.configuration);
    const { layout, pieces, endOffset } = assembleMappedRam({
      state: index,
      configuration,
      blocks: ram.blocks.map(({ id, length }) => ({ id, length })),
      vmdescription: await readVmdescriptionFor(state, index, configuration),
      base: output.offset,
    });
    const regions = layout.blocks.map(({ id, area }) => ({
      name: id,
      area,
      memory: this.#memoryOf(id, spool),
      storeZeroPages: storesZeroPages(id, storeZeroPages),
    }));
    // The recording output remembers everything but the pages: a seal digests them at the end, and storage is not read
    // back.
    const recorded = new RecordingOutput(
      output,
      layout.blocks.map(({ area }) => area),
    );
    const target = sealing?.pieceSize !== undefined && output.file === undefined ? recorded : output;
    await target.allocate(endOffset);
    const pieceSize = sealing?.pieceSize;
    const { report, pieces: digests } = await savePages(target, { regions, pieceSize }, options);
    await onMemoryRead?.();
    await writePieces(target, pieces, state, signal);
    const part = {
      source: recorded,
      base: output.offset,
      size: endOffset,
      pageSize: layout.targetPageSize,
      blocks: layout.blocks,
    };
    await sealing?.write({ ...part, pieces: digests }, signal);
    signal?.throwIfAborted();
    const blocks = layout.blocks.map(({ id, length }) => ({ id, length }));
    return { path: output.name, offset: output.offset, size: endOffset, blocks, transfer: report };
  }

  #memoryOf(id: string, spool: PageSpool): TransferMemory {
    const location = this.#given.get(id);
    if (location !== undefined) return toMemory(location);
    const offset = spool.startOf(id, isVirtioMem(id, this.#index));
    if (offset !== undefined) return { path: spool.path, offset };
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `the memory of block ${id} is missing`, {
      path: this.#state.name,
      expected: `its pages in the state, or its RAM given as ${id}=PATH`,
      found: 'neither',
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

function plainRam(index: StreamIndex, path: string): PlainRamIndex {
  const { ram, problem } = index;
  if (problem !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'the device state is not complete', {
      cause: problem,
    });
  }
  if (ram?.form === 'plain') return ram;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the device state has the wrong form', {
    path,
    expected: 'a plain file: migration',
    found: ram === undefined ? 'a stream without RAM' : 'a mapped-ram file',
  });
}
