import { MappedRamError } from '../errors.ts';
import {
  assembleMappedRam,
  CAPABILITY_IGNORE_SHARED,
  CAPABILITY_MAPPED_RAM,
  readStreamIndex,
  readVmdescriptionFor,
  type Configuration,
  type MappedBlockLayout,
  type PlainRamIndex,
  type StreamIndex,
} from '../stream/index.ts';
import { makeSeal } from '../seal/make-seal.ts';
import { isSeal, removeSeal, SealOutput, sealPathFor, sealPathOf } from '../seal/seal-file.ts';
import { PIECE_SIZE } from '../seal/seal.ts';
import type { TransferOptions, TransferReport } from '../transfer/options.ts';
import { runTransfer, type TransferRegion } from '../transfer/run-transfer.ts';
import { assertDistinct } from './distinct-files.ts';
import { FileReader } from './file-reader.ts';
import { PageSpool } from './page-spool.ts';
import {
  assertBlocksExist,
  assertSize,
  locationsFor,
  ramFiles,
  toMemory,
  type RamLocation,
} from './ram-location.ts';
import { snapshotPath } from './snapshot-path.ts';
import { SnapshotOutput, type SnapshotTarget } from './snapshot-output.ts';
import { writePieces } from './write-pieces.ts';

export interface PackOptions extends TransferOptions {
  /**
   * A device-state stream that QEMU wrote: a plain `file:` migration, best with x-ignore-shared, so that shared RAM is
   * not in it. A path, a `file:` migration URI or a URL.
   */
  readonly state: string | URL;
  /**
   * Where the memory of blocks is, by block id. A block that is not named here must have its pages in the state.
   * @default {}
   */
  readonly ram?: Readonly<Record<string, RamLocation>> | undefined;
  /** Whether an existing snapshot may be replaced. @default false */
  readonly overwrite?: boolean | undefined;
  /**
   * Blocks whose zero pages are written too, because a restore does not find their memory empty.
   * @default 'firmware', which means flash devices (`system.flash…`)
   */
  readonly storeZeroPages?: 'firmware' | 'all' | readonly string[] | undefined;
  /**
   * Seals the snapshot while it is written: digests of its pages and of everything else go to a small file beside it,
   * which `verify` checks against. @default false
   */
  readonly seal?: boolean | undefined;
  /**
   * Where the seal goes. @default the snapshot's path and `.seal`; a snapshot that is given by descriptor has none
   */
  readonly sealPath?: string | undefined;
}

export interface PackResult {
  /** The snapshot's path, or which descriptor it is. */
  readonly path: string;
  /** Where the stream starts in it. */
  readonly offset: number;
  /** Apparent size of the file. */
  readonly size: number;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly transfer: TransferReport;
  /** The seal's path; undefined without one. */
  readonly seal: string | undefined;
  /** Milliseconds for all of it: transfer, headers, device state, and making the file durable. */
  readonly elapsedMs: number;
}

/**
 * Makes one complete mapped-ram snapshot of a device-state stream and RAM: any QEMU ≥ 9.0 restores it.
 *
 * The file appears under its name only when it is complete: written beside it, fsynced, renamed, directory fsynced. With
 * an offset in the URI, the bytes before the offset are kept, as QEMU keeps them. On error or abort nothing is left.
 *
 * Descriptors are written in place: they are for callers who publish the file themselves.
 *
 * The old seal of a snapshot that is replaced by name goes with it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file, ERR_MAPPED_RAM_INVALID_ARGUMENT when RAM and
 * state do not fit each other, ERR_MAPPED_RAM_INCOMPLETE for a state that is cut off, ERR_MAPPED_RAM_TRUNCATED for RAM
 * that is too small, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE, ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_IO
 */
export async function pack(target: SnapshotTarget, options: PackOptions): Promise<PackResult> {
  const startedAt = performance.now();
  const { signal } = options;
  signal?.throwIfAborted();
  // What is wrong with the target is said before anything is read.
  const path =
    typeof target === 'string' || target instanceof URL ? snapshotPath(target).filename : undefined;
  const stateTarget = snapshotPath(options.state);
  await using state = await FileReader.open(stateTarget.filename, signal);
  const index = await readStreamIndex(state, { offset: stateTarget.offset });
  const ram = plainRam(index, state.name);
  const given = locationsFor(options.ram ?? {}, ram.blocks, state.name);
  for (const block of ram.blocks) {
    const location = given.get(block.id);
    if (location !== undefined) await assertSize(location, block);
  }
  const sealPath = options.seal === true ? sealPathFor(path, options.sealPath) : undefined;
  await assertDistinct([
    ...(path === undefined ? [] : [{ role: 'the snapshot', path }]),
    ...(sealPath === undefined ? [] : [{ role: 'the seal', path: sealPath }]),
    { role: 'the state', path: state.name },
    ...ramFiles(given),
  ]);
  const { storeZeroPages = 'firmware' } = options;
  if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, ram.blocks, state.name);
  const rest = ram.blocks.filter(({ id }) => !given.has(id));
  await using output = await SnapshotOutput.create(target, options.overwrite ?? false, signal);
  await using seal = sealPath === undefined ? undefined : await createSeal(sealPath, options);
  await using spool = await PageSpool.collect(
    state,
    index.base,
    rest,
    ram.targetPageSize,
    path ?? state.name,
  );
  signal?.throwIfAborted();

  const configuration = mappedConfiguration(index.configuration);
  const { layout, pieces, endOffset } = assembleMappedRam({
    state: index,
    configuration,
    blocks: ram.blocks.map(({ id, length }) => ({ id, length })),
    vmdescription: await readVmdescriptionFor(state, index, configuration),
    base: output.offset,
  });
  const regions = layout.blocks.map((block) => ({
    ...regionOf(block, given.get(block.id), spool, state.name),
    storeZeroPages: storesZeroPages(block.id, storeZeroPages),
  }));
  await output.allocate(endOffset);
  const [file, pageSize] = [output.file, layout.targetPageSize];
  const pieceSize = seal === undefined ? undefined : PIECE_SIZE;
  const plan = { direction: 'save', file, regions, pageSize, pieceSize } as const;
  const transferred = await runTransfer(plan, options);
  await writePieces(output.fd, output.name, pieces, state, signal);
  if (seal !== undefined) {
    const part = { file, base: output.offset, size: endOffset, pageSize, blocks: layout.blocks };
    await seal.write(await makeSeal({ ...part, pieces: transferred.pieces }, signal));
  }
  signal?.throwIfAborted();
  await output.commit(async () => {
    if (path !== undefined) await removeSeal(sealPathOf(path));
  });
  await seal?.publish();
  const blocks = layout.blocks.map(({ id, length }) => ({ id, length }));
  return {
    path: output.name,
    offset: output.offset,
    size: endOffset,
    blocks,
    transfer: transferred.report,
    seal: seal?.path,
    elapsedMs: performance.now() - startedAt,
  };
}

/** A seal of what is replaced by name may be replaced, too. */
async function createSeal(path: string, options: PackOptions): Promise<SealOutput> {
  const { overwrite = false, sealPath, signal } = options;
  const isStale = sealPath === undefined && (await isSeal(path));
  return SealOutput.create(path, overwrite || isStale, signal);
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

function mappedConfiguration(configuration: Configuration): Configuration {
  const others = configuration.capabilities.filter((capability) => capability !== CAPABILITY_IGNORE_SHARED);
  return { ...configuration, capabilities: [...others, CAPABILITY_MAPPED_RAM] };
}

function regionOf(
  block: MappedBlockLayout,
  location: RamLocation | undefined,
  spool: PageSpool,
  path: string,
): TransferRegion {
  const { id: name, length, pagesOffset, bitmapOffset } = block;
  const place = { name, length, pagesOffset, bitmapOffset };
  if (location !== undefined) return { ...place, memory: toMemory(location) };
  const offset = spool.startOf(name);
  if (offset !== undefined) return { ...place, memory: { path: spool.path, offset } };
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `the memory of block ${name} is missing`, {
    path,
    expected: `its pages in the state, or its RAM given as ${name}=PATH`,
    found: 'neither',
  });
}

function storesZeroPages(id: string, which: 'firmware' | 'all' | readonly string[]): boolean {
  if (which === 'all') return true;
  return which === 'firmware' ? id.startsWith('system.flash') : which.includes(id);
}
