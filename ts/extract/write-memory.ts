import { regionOf } from '../pages/blocks.ts';
import { partOf } from '../stream/page-area.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { writeAt } from '../io/fd-io.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { TransferRegion } from '../engine/transfer.ts';
import { loadPages } from '../pages/load-pages.ts';
import { dividePlacements, type Placement } from './placement.ts';

/** The most bytes that are copied at once of the rest, which the engine does not move. */
const CHUNK = 1 << 20;

/** A file that has its size already and reads as zeros. */
interface SparseFile {
  readonly fd: number;
  readonly path: string;
}

/**
 * Writes memory into a sparse file: the engine moves the pages, and zero pages stay holes.
 * @returns the engine's report; undefined when there was nothing for the engine
 * @throws {MappedRamError} as `loadPages`, and as reading and writing files; the signal's reason
 */
export async function writeMemory(
  snapshot: Snapshot,
  placements: readonly Placement[],
  output: SparseFile,
  options: TransferOptions,
): Promise<TransferReport | undefined> {
  const { bulk, rest } = dividePlacements(placements);
  const regions = bulk.map((placement) => partRegion(placement, output.path));
  const plan = { direction: 'load', regions } as const;
  const moved = regions.length === 0 ? undefined : await loadPages(snapshot.reader, plan, options);
  for (const placement of rest) await copy(snapshot, placement, output, options.signal);
  return moved?.report;
}

function partRegion({ block, offset, length, at }: Placement, path: string): TransferRegion {
  const area = partOf(block.area, offset, length);
  return regionOf({ id: block.id, area }, { memory: { path, offset: at }, memoryIsZero: true });
}

/** Copies data, a chunk at a time, and leaves zero pages out. */
async function copy(
  snapshot: Snapshot,
  { block, offset, length, at }: Placement,
  output: SparseFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  const memory = await snapshot.memory();
  const end = offset + length;
  const [first, last] = [Math.floor(offset / block.area.pageSize), Math.ceil(end / block.area.pageSize)];
  for await (const run of memory.pages(block.id, first, last)) {
    if (run.fileOffset === undefined) continue;
    const runEnd = Math.min(end, run.offset + run.length);
    for (let position = Math.max(offset, run.offset); position < runEnd; position += CHUNK) {
      signal?.throwIfAborted();
      const bytes = await memory.read(block.id, position, Math.min(CHUNK, runEnd - position));
      await writeAt(output.fd, output.path, bytes, at + (position - offset));
    }
  }
}
