import { MappedRamError } from '../errors.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import type { PlainRamIndex, StreamIndex } from '../stream/stream-index.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import { assembleMappedRam } from '../stream/write/assemble.ts';
import { assertBlocksExist, regionOf } from '../pages/blocks.ts';
import { sealPathFor } from '../seal/seal-file.ts';
import type { Sealing } from '../seal/sealing.ts';
import { runTransfer, type TransferMemory } from '../engine/transfer.ts';
import { assertDistinct } from '../io/distinct-files.ts';
import { FileReader } from '../io/file-reader.ts';
import type { PackOptions, PackResult } from './pack.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import { storesZeroPages } from './zero-pages.ts';
import { PageSpool } from './page-spool.ts';
import { assertSize, locationsFor, ramFiles, toMemory, type RamLocation } from '../snapshot/ram-location.ts';
import { snapshotPath } from '../snapshot/snapshot-path.ts';
import type { SnapshotOutput } from '../snapshot/snapshot-output.ts';
import { streamBase } from '../snapshot/stream-base.ts';
import { writePieces } from '../io/write-pieces.ts';

export interface PackingHooks {
  /** Called when all of the memory has been read: from then on it may change. */
  readonly onMemoryRead?: (() => Promise<void>) | undefined;
  /** Gets the digests. */
  readonly sealing?: Sealing | undefined;
}

/** What `pack` makes a snapshot of: a state and RAM that were found to go together. */
export class Packing implements AsyncDisposable {
  readonly #state: FileReader;
  readonly #index: StreamIndex;
  readonly #ram: PlainRamIndex;
  readonly #given: ReadonlyMap<string, RamLocation>;
  /** What temporary files are made beside. */
  readonly #beside: string;

  private constructor(
    state: FileReader,
    index: StreamIndex,
    ram: PlainRamIndex,
    given: ReadonlyMap<string, RamLocation>,
    beside: string,
  ) {
    this.#state = state;
    this.#index = index;
    this.#ram = ram;
    this.#given = given;
    this.#beside = beside;
  }

  /**
   * Opens the state, and checks everything that can be known before a byte moves.
   * @param path the snapshot's, when it has one
   * @throws {MappedRamError} as `pack`
   */
  static async open(options: PackOptions, path: string | undefined): Promise<Packing> {
    const { filename, offset } = snapshotPath(options.state);
    const state = await FileReader.open(filename, options.signal);
    try {
      const index = await readStreamIndex(state, { offset: await streamBase(state, offset) });
      const ram = plainRam(index, state.name);
      const given = locationsFor(options.ram ?? {}, ram.blocks, state.name);
      for (const block of ram.blocks) {
        const location = given.get(block.id);
        if (location !== undefined) await assertSize(location, block);
      }
      await assertDistinct([
        ...(path === undefined ? [] : [{ role: 'the snapshot', path }]),
        ...(options.seal === true ? [{ role: 'the seal', path: sealPathFor(path, options.sealPath) }] : []),
        { role: 'the state', path: state.name },
        ...ramFiles(given),
      ]);
      const { storeZeroPages = 'firmware' } = options;
      if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, ram.blocks, state.name);
      return new Packing(state, index, ram, given, path ?? state.name);
    } catch (error) {
      await state.close();
      throw error;
    }
  }

  /**
   * Writes the whole snapshot, but for making it durable and visible.
   * @throws {MappedRamError} as `pack`
   */
  async write(
    output: SnapshotOutput,
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
    const regions = layout.blocks.map((block) =>
      regionOf(block, {
        memory: memoryOf(block.id, this.#given.get(block.id), spool, state.name),
        storeZeroPages: storesZeroPages(block.id, storeZeroPages),
      }),
    );
    await output.allocate(endOffset);
    const [file, pageSize, pieceSize] = [output.file, layout.targetPageSize, sealing?.pieceSize];
    const plan = { direction: 'save', file, regions, pageSize, pieceSize } as const;
    const { report, pieces: digests } = await runTransfer(plan, options);
    await onMemoryRead?.();
    await writePieces(output.fd, output.name, pieces, state, signal);
    const part = { file, base: output.offset, size: endOffset, pageSize, blocks: layout.blocks };
    await sealing?.write({ ...part, pieces: digests }, signal);
    signal?.throwIfAborted();
    const blocks = layout.blocks.map(({ id, length }) => ({ id, length }));
    return { path: output.name, offset: output.offset, size: endOffset, blocks, transfer: report };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#state.close();
  }
}

function plainRam(index: StreamIndex, path: string): PlainRamIndex {
  const { ram, problem } = index;
  if (problem !== undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INCOMPLETE',
      `the device state is not complete: ${problem.message}`,
      {
        cause: problem,
      },
    );
  }
  if (ram?.form === 'plain') return ram;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the device state has the wrong form', {
    path,
    expected: 'a plain file: migration',
    found: ram === undefined ? 'a stream without RAM' : 'a mapped-ram file',
  });
}

function memoryOf(
  id: string,
  location: RamLocation | undefined,
  spool: PageSpool,
  path: string,
): TransferMemory {
  if (location !== undefined) return toMemory(location);
  const offset = spool.startOf(id);
  if (offset !== undefined) return { path: spool.path, offset };
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `the memory of block ${id} is missing`, {
    path,
    expected: `its pages in the state, or its RAM given as ${id}=PATH`,
    found: 'neither',
  });
}
