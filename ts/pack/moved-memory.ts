import { MappedRamError } from '../errors.ts';
import type { BlockPieces } from '../engine/transfer.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { Output } from '../io/output.ts';
import { savePages } from '../pages/save-pages.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { locationsFor, toMemory } from '../snapshot/ram-location.ts';
import type { StreamHead } from '../stream/stream-index.ts';
import { layoutAround } from '../stream/write/assemble.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';
import type { MappedRamLayout } from '../stream/write/layout.ts';
import type { PackOptions } from './pack-options.ts';
import { plainRam } from './plain-ram.ts';

/** The given memory of a snapshot, when it is in its place before the rest of the snapshot is known. */
export interface MovedMemory {
  readonly layout: MappedRamLayout;
  readonly report: TransferReport;
  /** The pieces of each moved block, by its id; no pieces without a seal. */
  readonly pieces: ReadonlyMap<string, BlockPieces | undefined>;
}

/**
 * Writes the memory that `options.ram` gives to its places in a snapshot, with its bitmaps. `Packing.write` adds the
 * rest. The beginning of the device state is enough for that, so that a guest need not wait for the rest of it.
 *
 * @param state.name the state's name in errors
 * @param pieceSize of the seal, in bytes
 * @throws {MappedRamError} as `pack`
 */
export async function moveMemory(
  output: Output,
  state: StreamHead & { readonly name: string },
  options: PackOptions,
  pieceSize: number | undefined,
): Promise<MovedMemory> {
  const { signal, storeZeroPages = 'firmware' } = options;
  signal?.throwIfAborted();
  const ram = plainRam(state, state.name);
  const given = locationsFor(options.ram ?? {}, ram.blocks, state.name);
  const layout = layoutAround({
    state,
    configuration: mappedConfiguration(state.configuration),
    blocks: ram.blocks.map(({ id, length }) => ({ id, length })),
    base: output.offset,
  });
  const regions = layout.blocks.flatMap(({ id, area }) => {
    const location = given.get(id);
    if (location === undefined) return [];
    const stores = storesZeroPages(id, storeZeroPages);
    return [{ name: id, area, memory: toMemory(location), storeZeroPages: stores }];
  });
  await output.allocate(layout.endOffset);
  const moved = regions.reduce((sum, { area }) => sum + area.length, 0);
  const progress = shifted(options, { bytesTotal: ram.total - moved });
  const { report, pieces } = await savePages(output, { regions, pieceSize }, { ...options, ...progress });
  return { layout, report, pieces: new Map(regions.map(({ name }, index) => [name, pieces[index]])) };
}

/** Options whose progress counts memory that another transfer moves, or has moved. */
export function shifted(
  { onProgress }: Pick<TransferOptions, 'onProgress'>,
  by: { readonly bytesTotal?: number; readonly bytesDone?: number; readonly dataBytes?: number },
): Pick<TransferOptions, 'onProgress'> {
  if (onProgress === undefined) return {};
  return {
    onProgress: ({ bytesTotal, bytesDone, dataBytes, elapsedMs }) =>
      onProgress({
        bytesTotal: bytesTotal + (by.bytesTotal ?? 0),
        bytesDone: bytesDone + (by.bytesDone ?? 0),
        dataBytes: dataBytes + (by.dataBytes ?? 0),
        elapsedMs,
      }),
  };
}

/**
 * Makes sure that memory was moved to where the whole state says that it belongs.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL
 */
export function assertMovedRight(moved: MovedMemory, layout: MappedRamLayout, path: string): void {
  const isSame =
    moved.layout.blocks.length === layout.blocks.length &&
    moved.layout.blocks.every(({ id, area }, index) => {
      const there = layout.blocks[index];
      return (
        there?.id === id &&
        there.area.pagesOffset === area.pagesOffset &&
        there.area.bitmapOffset === area.bitmapOffset &&
        there.area.length === area.length &&
        there.area.pageSize === area.pageSize
      );
    });
  if (isSame) return;
  const words = 'the whole device state puts memory elsewhere than its beginning did';
  throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', words, { path });
}
