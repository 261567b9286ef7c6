import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import type { TransferRegion } from '../engine/transfer.ts';
import { assertDistinct, namedPlace, namedSource } from '../snapshot/distinct-places.ts';
import type { Output } from '../io/output.ts';
import { OutputSink } from '../io/stream-sink.ts';
import { loadPages } from '../pages/load-pages.ts';
import { locationsFor, ramFiles, type RamLocation } from '../snapshot/ram-location.ts';
import { readPieces } from '../io/read-pieces.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { type SnapshotTarget, type TargetPlace, targetPlace } from '../snapshot/snapshot-target.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { plainPages, stateBatches } from './device-state.ts';
import { UnpackOutputs } from './unpack-outputs.ts';

export interface UnpackOptions extends TransferOptions {
  /**
   * Destinations for the memory of blocks, by block id. A path becomes a new, sparse file that appears when it is
   * complete. A destination that exists already (`{ path }`, `{ fd }`, a buffer) is filled in place: afterwards it
   * holds the block's memory, zero pages included.
   * @default {}
   */
  readonly ram?: Readonly<Record<string, RamLocation>> | undefined;
  /**
   * Destination of the device state: a plain stream that any QEMU loads, without capabilities, on top of the unpacked
   * RAM. The stream also carries the pages of every block that `ram` does not name. A string is a path or a `file:`
   * migration URI.
   */
  readonly state?: SnapshotTarget | undefined;
  /**
   * Unpack RAM that is whole although the end of the file cannot be checked. Such files come from a QEMU that wrote no
   * vmdescription (`suppress-vmdesc=on`), or were cut off in their device state. Goes without `state` only.
   * @default false
   */
  readonly ignoreDeviceState?: boolean | undefined;
  /** True when results may replace existing files. @default false */
  readonly overwrite?: boolean | undefined;
}

export interface UnpackResult {
  /** The snapshot's path. */
  readonly path: string;
  /** The blocks whose memory was unpacked. */
  readonly blocks: readonly { readonly id: string; readonly length: number }[];
  /** The blocks whose pages went into the state. */
  readonly blocksInState: readonly string[];
  /** The engine's report; undefined when no RAM was asked for. */
  readonly transfer: TransferReport | undefined;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}

/**
 * Takes a complete snapshot apart, into RAM files and a device-state stream to load on top of them.
 * @param source a snapshot, by its place or open; an open one stays open
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_INVALID_ARGUMENT for a
 * block that the snapshot does not have, ERR_MAPPED_RAM_UNSUPPORTED for a block without pages, and as `Snapshot.open`
 */
export async function unpack(
  source: SnapshotSource | Snapshot,
  options: UnpackOptions,
): Promise<UnpackResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const unpacked = await usingSnapshot(source, signal, (snapshot) => takeApart(snapshot, options));
  return { ...unpacked, elapsedMs: performance.now() - startedAt };
}

async function takeApart(
  snapshot: Snapshot,
  options: UnpackOptions,
): Promise<Omit<UnpackResult, 'elapsedMs'>> {
  const { signal } = options;
  const state = options.state === undefined ? undefined : targetPlace(options.state);
  const ram = snapshot.completeRam(options.ignoreDeviceState === true && state === undefined);
  const locations = locationsFor(options.ram ?? {}, ram.blocks, snapshot.path);
  if (locations.size === 0 && state === undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'nothing to unpack: neither RAM nor state was asked for',
    );
  }
  await assertOutputs(snapshot, locations, state);
  await using outputs = new UnpackOutputs(options.overwrite ?? false, signal);
  const regions: TransferRegion[] = [];
  for (const block of ram.blocks) {
    const location = locations.get(block.id);
    if (location !== undefined) regions.push(await outputs.region(block, location, snapshot.path));
  }
  const output = state === undefined ? undefined : await outputs.state(state);
  const plan = { direction: 'load', regions } as const;
  const moved = regions.length === 0 ? undefined : await loadPages(snapshot.reader, plan, options);
  const rest = ram.blocks.filter(({ id }) => !locations.has(id));
  if (output !== undefined) await writeState(snapshot, rest, output, signal);
  signal?.throwIfAborted();
  for (const [index, region] of regions.entries()) {
    const bytes = moved?.buffers[index];
    const location = locations.get(region.name);
    if (bytes && location instanceof Uint8Array) location.set(bytes);
  }
  await outputs.commit();
  return {
    path: snapshot.path,
    blocks: regions.map(({ name, area }) => ({ id: name, length: area.length })),
    blocksInState: state === undefined ? [] : rest.filter(({ skipped }) => !skipped).map(({ id }) => id),
    transfer: moved?.report,
  };
}

async function writeState(
  snapshot: Snapshot,
  withPages: readonly MappedRamBlock[],
  output: Output,
  signal: AbortSignal | undefined,
): Promise<void> {
  await output.allocate(output.offset);
  const sink = new OutputSink(output);
  for await (const pieces of stateBatches(snapshot, plainPages(snapshot, withPages))) {
    for await (const bytes of readPieces(pieces, snapshot.reader)) {
      signal?.throwIfAborted();
      await sink.write(bytes);
    }
  }
}

/** Refuses outputs that are the same file as each other, or as the snapshot. */
async function assertOutputs(
  snapshot: Snapshot,
  locations: ReadonlyMap<string, RamLocation>,
  state: TargetPlace | undefined,
): Promise<void> {
  await assertDistinct([
    ...namedSource('the snapshot', snapshot.reader),
    ...ramFiles(locations),
    ...namedPlace('the state', state),
  ]);
}
