import { lockFile } from '../engine/file-lock.ts';
import type { TransferMemory } from '../engine/transfer.ts';
import { MappedRamError } from '../errors.ts';
import { assertOptions } from '../io/assert-options.ts';
import { inWords } from '../io/in-words.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { Output } from '../io/output.ts';
import { writePieces } from '../io/write-pieces.ts';
import { blocksWithPages } from '../pages/blocks.ts';
import type { SnapshotBlock } from '../pages/memory-access.ts';
import { type ChangedRegion, saveChanges } from '../pages/overlay/save-changes.ts';
import { storesZeroPages } from '../pages/zero-pages.ts';
import { SEAL_OF } from '../seal/seal-file.ts';
import { assertDistinct, namedPlace, namedSource } from '../snapshot/distinct-places.ts';
import { assertSize, locationsFor, ramFiles, toMemory } from '../snapshot/ram-location.ts';
import { createOutput, targetPath, targetPlace, type SnapshotTarget } from '../snapshot/snapshot-target.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { readGlobalState, runStatePatch, type StreamPatch } from '../stream/global-state.ts';
import type { MappedRamBlock, MappedRamIndex } from '../stream/stream-index.ts';
import { assembleOver } from './assemble-over.ts';
import { assertGoTogether, assertStretches } from './assert-delta.ts';
import type { ChangedMemory, DeltaResult, WriteDeltaOptions } from './delta-options.ts';

/**
 * Writes a delta: a guest as the pages that differ from a base, and its device state (docs/format.md §13). Whoever opens
 * the delta with this package reads both files as one snapshot; no QEMU loads a delta without its base by mistake.
 *
 * The file appears under its name only when it is complete, as with `pack`. A zero page is left out where the base has
 * none, except for firmware.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS when there is a file; ERR_MAPPED_RAM_INVALID_ARGUMENT when base, state
 *   and memory do not fit each other; ERR_MAPPED_RAM_UNSUPPORTED for a base that is a delta, or lacks pages;
 *   ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_BUSY when the base is being written,
 *   ERR_MAPPED_RAM_IO; and as `Snapshot.open`
 */
export async function writeDelta(target: SnapshotTarget, options: WriteDeltaOptions): Promise<DeltaResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { base, state, signal } = options;
  signal?.throwIfAborted();
  assertOptions(options.ram, 'ram');
  for (const [id, one] of Object.entries(options.ram)) assertOptions(one, `ram of block ${id}`);
  const written = await usingSnapshot(base, signal, (below) =>
    usingSnapshot(state, signal, (devices) => write(target, below, devices, options)),
  );
  return { ...written, elapsedMs: performance.now() - startedAt };
}

async function write(
  target: SnapshotTarget,
  base: Snapshot,
  state: Snapshot,
  options: WriteDeltaOptions,
): Promise<Omit<DeltaResult, 'elapsedMs'>> {
  const { signal, overwrite } = options;
  const place = targetPlace(target);
  const ram = assertGoTogether(base, state, Object.keys(options.ram));
  const memory = await memoryOf(options.ram, ram, base.path);
  await assertDistinct([
    ...namedPlace('the delta', place),
    ...namedSource('the base', base.reader),
    ...ramFiles(filesIn(options.ram)),
  ]);
  holdBase(base.reader);
  await using output = await createOutput(place, { overwrite, signal, companions: SEAL_OF });
  const { layout, pieces, endOffset } = await assembleOver(base, state, {
    path: targetPath(place),
    offset: output.offset,
    patches: await patchesFor(state, options.runState),
    signal,
  });
  const regions = layout.blocks.flatMap(({ id: name, area }): readonly ChangedRegion[] => {
    const [below] = blocksWithPages([name], ram.blocks, base.path);
    const { changed, compare } = options.ram[name] ?? {};
    const from = memory.get(name);
    if (below === undefined || from === undefined) return [];
    const source = { source: base.reader, area: below.area };
    const storeZeroPages = storesZeroPages(name, 'firmware');
    return [{ name, area, memory: from, changed, compare, base: source, storeZeroPages }];
  });
  await output.allocate(endOffset);
  const blocks = await saveChanges(output, regions, options);
  await writePieces(output, pieces, state.reader, signal);
  await publish(output, signal);
  const pages = blocks.reduce((sum, block) => sum + block.pages - block.zeroPages, 0);
  const { name: path, offset } = output;
  const dataBytes = pages * ram.targetPageSize;
  return { path, offset, size: endOffset, base: base.path, blocks, dataBytes };
}

async function publish(output: Output, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await output.finish();
  signal?.throwIfAborted();
  await output.publish();
}

/** Keeps writers in place away. A descriptor of the caller's keeps the lock that it has. */
function holdBase({ file, name }: OpenSource): void {
  if (file?.path !== undefined) lockFile(file.fd, 'shared', name);
}

async function memoryOf(
  given: WriteDeltaOptions['ram'],
  { blocks }: MappedRamIndex,
  path: string,
): Promise<ReadonlyMap<string, TransferMemory | SnapshotBlock>> {
  const found = new Map<string, TransferMemory | SnapshotBlock>();
  for (const block of blocks) {
    const one = given[block.id];
    if (one === undefined) continue;
    assertStretches(block, one, path);
    found.set(block.id, await memoryFor(block, one));
  }
  return found;
}

async function memoryFor(
  block: MappedRamBlock,
  { memory }: ChangedMemory,
): Promise<TransferMemory | SnapshotBlock> {
  if (!(memory instanceof Snapshot)) {
    const location = locationsFor({ [block.id]: memory }, [block], block.id).get(block.id) ?? memory;
    await assertSize(location, block);
    return toMemory(location);
  }
  const [there] = blocksWithPages([block.id], memory.completeRam(true).blocks, memory.path);
  if (there?.length === block.length) return { source: memory.reader, area: there.area };
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', `length of block ${block.id}`, {
    path: memory.path,
    expected: `${block.length} bytes, as in the base`,
    found: there === undefined ? inWords(there) : `${there.length} bytes`,
  });
}

function filesIn(ram: WriteDeltaOptions['ram']): Parameters<typeof ramFiles>[0] {
  return new Map(
    Object.entries(ram).flatMap(([id, { memory }]) =>
      memory instanceof Snapshot ? [] : [[id, memory] as const],
    ),
  );
}

async function patchesFor(
  { reader, index }: Snapshot,
  runState: string | undefined,
): Promise<readonly StreamPatch[]> {
  if (runState === undefined) return [];
  const recorded = await readGlobalState(reader, index);
  if (recorded !== undefined) return [runStatePatch(recorded, runState)];
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the state records no run state', {
    path: reader.name,
    expected: 'no runState',
    found: runState,
  });
}
