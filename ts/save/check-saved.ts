import { MappedRamError } from '../errors.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { RamBlockRow } from '../qemu/memory/query-ram-blocks.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import type { KnownBase } from '../snapshot/delta-base.ts';
import { isRamComplete } from '../snapshot/info.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';

export interface SavedFile {
  /** Apparent size in bytes. */
  readonly size: number;
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  readonly warnings: readonly string[];
}

/** Facts about a save besides its file. */
export interface SavedContext {
  readonly plan: SavePlan;
  /** Bytes of pages, as the writer counts them: a page that is written twice, while the guest runs, counts twice. */
  readonly dataBytes: number;
  /** The machine's RAM blocks while the guest stood still, if QEMU lists them. */
  readonly rows: readonly RamBlockRow[] | undefined;
  /** True when the guest stood still all the time, so that each page was written once; false after a live save. */
  readonly stoodStill: boolean;
  /** The base of a delta, when it is at hand. */
  readonly base?: KnownBase | undefined;
}

/**
 * Looks into a file that, by the word of QEMU or the engine, is written completely. They do not notice everything: a
 * bitmap that was never written, a disk that took less than it was given, a block that grew (docs/format.md §2.5,
 * §7.1).
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE with every flaw in words
 */
export async function checkSaved(source: SnapshotSource, context: SavedContext): Promise<SavedFile> {
  const { plan, rows, base } = context;
  await using snapshot = await (base === undefined ? Snapshot.open(source) : Snapshot.openOver(source, base));
  const { index, reader, path } = snapshot;
  const mapped = plan.format === 'mapped-ram';
  const blocks = mapped ? snapshot.completeRam(true).blocks : (index.ram?.blocks ?? []);
  const problems = [
    ...(mapped || isRamComplete(index) ? [] : [index.problem?.message ?? 'it is cut off']),
    ...blockProblems(blocks, plan, rows),
    ...(mapped ? await pageProblems(snapshot, context) : []),
  ];
  if (problems.length > 0) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INCOMPLETE',
      `success was reported, but what was written is not complete: ${problems.join('; ')}`,
      { path },
    );
  }
  const unmeasured = index.complete ? [] : [`its device state cannot be checked: ${index.problem?.message}`];
  return {
    size: reader.size,
    blocks: blocks.map(({ id, length }) => ({ id, length })),
    warnings: unmeasured,
  };
}

type Block = { readonly id: string; readonly length: number };

function blockProblems(
  blocks: readonly Block[],
  { qemu }: SavePlan,
  rows: readonly RamBlockRow[] | undefined,
): readonly string[] {
  const wrong = (rows === undefined ? [] : blocks).flatMap(({ id, length }) => {
    const row = rows?.find((candidate) => candidate.id === id);
    if (row?.usedLength === length) return [];
    return [`block ${id} has ${length} bytes in the file and ${row?.usedLength ?? 'none'} in QEMU`];
  });
  // Blocks without a backend (mappings of devices) need not be in any file.
  const missing = qemu.memory.filter(
    ({ id, backend }) => backend !== undefined && !blocks.some((block) => block.id === id),
  );
  return [...wrong, ...missing.map(({ id }) => `block ${id} is not in the file`)];
}

/** Compares bitmaps with the writer's count of the pages that it has written: each such page has a bit. */
async function pageProblems(
  snapshot: Snapshot,
  { dataBytes, stoodStill }: SavedContext,
): Promise<readonly string[]> {
  let set = 0;
  for (const block of snapshot.completeRam(true).blocks) {
    set += (await countSetPages(snapshot.reader, block)) * block.area.pageSize;
  }
  const enough = stoodStill ? set >= dataBytes : set > 0 || dataBytes === 0;
  return enough ? [] : [`pages of ${dataBytes} bytes were written, of which the bitmaps have only ${set}`];
}
