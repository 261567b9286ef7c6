import { MappedRamError } from '../errors.ts';
import {
  assembleMappedRam,
  readStreamIndex,
  readVmdescriptionFor,
  type MappedBlockLayout,
  type PlainRamIndex,
  type StreamIndex,
} from '../stream/index.ts';
import type { TransferOptions, TransferReport } from '../transfer/options.ts';
import { runTransfer, type TransferRegion } from '../transfer/run-transfer.ts';
import { assertDistinct } from './distinct-files.ts';
import { FileReader } from './file-reader.ts';
import { mappedConfiguration, storesZeroPages } from './mapped-target.ts';
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
import { streamBase } from './stream-base.ts';
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
  const index = await readStreamIndex(state, { offset: await streamBase(state, stateTarget.offset) });
  const ram = plainRam(index, state.name);
  const given = locationsFor(options.ram ?? {}, ram.blocks, state.name);
  for (const block of ram.blocks) {
    const location = given.get(block.id);
    if (location !== undefined) await assertSize(location, block);
  }
  await assertDistinct([
    ...(path === undefined ? [] : [{ role: 'the snapshot', path }]),
    { role: 'the state', path: state.name },
    ...ramFiles(given),
  ]);
  const { storeZeroPages = 'firmware' } = options;
  if (typeof storeZeroPages === 'object') assertBlocksExist(storeZeroPages, ram.blocks, state.name);
  const rest = ram.blocks.filter(({ id }) => !given.has(id));
  await using output = await SnapshotOutput.create(target, options.overwrite ?? false, signal);
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
  const plan = { direction: 'save', file: output.file, regions, pageSize: layout.targetPageSize } as const;
  const { report } = await runTransfer(plan, options);
  await writePieces(output.fd, output.name, pieces, state, signal);
  signal?.throwIfAborted();
  await output.commit();
  const blocks = layout.blocks.map(({ id, length }) => ({ id, length }));
  return {
    path: output.name,
    offset: output.offset,
    size: endOffset,
    blocks,
    transfer: report,
    elapsedMs: performance.now() - startedAt,
  };
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
