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
import { addReports } from '../pages/add-reports.ts';
import { RecordingOutput } from '../io/recording-output.ts';
import { savePages } from '../pages/save-pages.ts';
import type { PackOptions, PackResult } from './pack-options.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { assertMovedRight, type MovedMemory, shifted } from './moved-memory.ts';
import { PageSpool } from './page-spool.ts';
import { completePlainRam } from './plain-ram.ts';
import { assertSize, locationsFor, ramFiles, toMemory, type RamLocation } from '../snapshot/ram-location.ts';
import { type TargetPlace, targetPath } from '../snapshot/snapshot-target.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { isVirtioMem } from '../stream/virtio-mem.ts';
import { writePieces } from '../io/write-pieces.ts';

interface PackingParts {
  /** Receives the digests. */
  readonly sealing?: Sealing | undefined;
  /** The given memory, where it is in its place already. */
  readonly moved?: MovedMemory | undefined;
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
      const ram = completePlainRam(index, state.name);
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
    { sealing, moved }: PackingParts = {},
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
    if (moved !== undefined) assertMovedRight(moved, layout, state.name);
    const regions = layout.blocks
      .filter(({ id }) => moved?.pieces.has(id) !== true)
      .map(({ id, area }) => ({
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
    const { report, pieces: pieceOf } = await this.#moveRest(target, { regions, pieceSize }, options, moved);
    await writePieces(target, pieces, state, signal);
    const part = {
      source: recorded,
      base: output.offset,
      size: endOffset,
      pageSize: layout.targetPageSize,
      blocks: layout.blocks,
    };
    const none = { offsets: [], digests: new Uint8Array() };
    const digests = layout.blocks.map(({ id }) => pieceOf.get(id) ?? none);
    await sealing?.write({ ...part, pieces: digests }, signal);
    signal?.throwIfAborted();
    const blocks = layout.blocks.map(({ id, length }) => ({ id, length }));
    return { path: output.name, offset: output.offset, size: endOffset, blocks, transfer: report };
  }

  /** Moves the memory that is not in its place yet. */
  async #moveRest(
    target: Output,
    plan: Parameters<typeof savePages>[1],
    options: PackOptions,
    moved: MovedMemory | undefined,
  ): Promise<Omit<MovedMemory, 'layout'>> {
    if (moved !== undefined && plan.regions.length === 0) return moved;
    const { bytes = 0, dataBytes = 0 } = moved?.report ?? {};
    const progress = shifted(options, { bytesTotal: bytes, bytesDone: bytes, dataBytes });
    const saved = await savePages(target, plan, { ...options, ...progress });
    return {
      report: moved === undefined ? saved.report : addReports(moved.report, saved.report),
      pieces: new Map([
        ...(moved?.pieces ?? []),
        ...plan.regions.map(({ name }, index) => [name, saved.pieces[index]] as const),
      ]),
    };
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
