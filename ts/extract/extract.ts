import { open } from 'node:fs/promises';

import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { PhysicalRange } from '../physical/address-space.ts';
import type { PhysicalOptions } from '../physical/ram-layout.ts';
import { assertDistinct, namedSource } from '../snapshot/distinct-places.ts';
import { resize, writeAt } from '../io/fd-io.ts';
import { fileTargetOf } from '../io/file-target.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { literalPath, type SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { assertTransferWords } from '../engine/engine-options.ts';
import { assertWord } from '../io/option-words.ts';
import { StagedFile } from '../engine/staged-file.ts';
import { coreNotes } from './core-notes.ts';
import { elfCoreLayout } from './elf-core.ts';
import type { Placement } from './placement.ts';
import { writeMemory } from './write-memory.ts';

/** `raw`: memory as it is. `elf`: a core file for gdb and crash. */
export type ExtractFormat = (typeof FORMATS)[number];
const FORMATS = ['raw', 'elf'] as const;

export interface ExtractOptions extends TransferOptions, PhysicalOptions {
  readonly format: ExtractFormat;
  /**
   * The only block in a `raw` output, from offset 0 on. @default the guest-physical address space, from address 0 on
   */
  readonly block?: string | undefined;
  /** Lets the output replace an existing file. @default false */
  readonly overwrite?: boolean | undefined;
}

export interface ExtractResult {
  /** The snapshot's path. */
  readonly path: string;
  /** The path of the file that was written. */
  readonly output: string;
  readonly format: ExtractFormat;
  /** Apparent size of the output, in bytes. */
  readonly size: number;
  /** The memory in the output. */
  readonly ranges: readonly ExtractedRange[];
  /**
   * The facts that the file does not give, and that were taken to be as usual, in words; and what is left out of the
   * output for want of such facts.
   */
  readonly assumptions: readonly string[];
  /** CPUs whose registers are in the output. */
  readonly cpus: number;
  /** The engine's report; undefined when there was too little to be worth a transfer. */
  readonly transfer: TransferReport | undefined;
  /** Milliseconds for the whole extraction. */
  readonly elapsedMs: number;
}

/** A piece of memory in the output. All numbers are bytes. */
export interface ExtractedRange {
  /** The guest-physical address; undefined for a block by itself. */
  readonly address: number | undefined;
  readonly length: number;
  readonly block: string;
  /** Offset in the block. */
  readonly offset: number;
  /** Offset in the output. */
  readonly fileOffset: number;
}

/**
 * Writes a snapshot's memory to a new, sparse file that appears when it is complete.
 * @param source the snapshot; one that is open already stays open
 * @param target a path or a URL
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_INVALID_ARGUMENT for a
 *   block that the snapshot does not have, ERR_MAPPED_RAM_UNSUPPORTED for a machine whose layout is not known; and as
 *   `Snapshot.open` and `Snapshot.physicalMap`
 */
export async function extract(
  source: SnapshotSource | Snapshot,
  target: string | URL,
  options: ExtractOptions,
): Promise<ExtractResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  assertWord('format', options.format, FORMATS);
  assertTransferWords(options);
  const output = target instanceof URL ? fileTargetOf(target).filename : literalPath(target);
  const done = await usingSnapshot(source, signal, (snapshot) => writeOutput(snapshot, output, options));
  return { ...done, elapsedMs: performance.now() - startedAt };
}

async function writeOutput(
  snapshot: Snapshot,
  output: string,
  options: ExtractOptions,
): Promise<Omit<ExtractResult, 'elapsedMs'>> {
  const { signal, format } = options;
  const contents = await contentsOf(snapshot, options);
  await assertDistinct([
    ...namedSource('the snapshot', snapshot.reader),
    { role: 'the output', path: output },
  ]);
  await using staged = await StagedFile.create(output, { overwrite: options.overwrite ?? false, signal });
  const { ranges, size, head } = contents;
  const placements = await placementsOf(snapshot, ranges);
  const transfer = await fill(snapshot, staged.path, size, head, placements, options);
  await staged.sync();
  signal?.throwIfAborted();
  await staged.publish();
  const { cpus } = contents;
  const { problem } = snapshot.index;
  const assumptions = [
    ...(problem === undefined
      ? []
      : [`RAM is whole, though the end of the file cannot be checked: ${problem.message}`]),
    ...contents.assumptions,
  ];
  return { path: snapshot.path, output, format, size, ranges, assumptions, cpus, transfer };
}

async function fill(
  snapshot: Snapshot,
  path: string,
  size: number,
  head: Uint8Array,
  placements: readonly Placement[],
  options: TransferOptions,
): Promise<TransferReport | undefined> {
  await using handle = await open(path, 'r+');
  const file = { fd: handle.fd, path };
  await resize(file.fd, path, size);
  await writeAt(file.fd, path, head, 0);
  // The file is open until the writing, which is awaited here, has ended.
  return await writeMemory(snapshot, placements, file, options);
}

interface Contents {
  readonly ranges: readonly ExtractedRange[];
  readonly size: number;
  /** The bytes before memory. */
  readonly head: Uint8Array;
  readonly assumptions: readonly string[];
  readonly cpus: number;
}

async function contentsOf(snapshot: Snapshot, options: ExtractOptions): Promise<Contents> {
  const nothing = { head: new Uint8Array(), assumptions: [], cpus: 0 };
  if (options.block !== undefined) {
    if (options.format === 'elf') throw needsAddresses();
    const { id, length } = (await snapshot.memory()).block(options.block);
    const range = { address: undefined, length, block: id, offset: 0, fileOffset: 0 };
    return { ...nothing, ranges: [range], size: length };
  }
  const map = await snapshot.physicalMap(options);
  const { assumptions } = map;
  if (options.format === 'raw') {
    const ranges = map.ranges.map((range) => extracted(range, range.address));
    const last = map.ranges.at(-1);
    const size = last === undefined ? 0 : last.address + last.length;
    return { ...nothing, assumptions, ranges, size };
  }
  // QEMU's own dumps have no pflash either.
  const loads = map.ranges.filter(({ kind }) => kind !== 'flash');
  const { machine, notes, cpus, problems } = await coreNotes(snapshot, map);
  const pageSize = snapshot.completeRam(true).targetPageSize;
  const { head, offsets, size } = elfCoreLayout({ machine, notes, loads }, pageSize);
  const ranges = loads.map((range, index) => extracted(range, offsets[index] ?? 0));
  return { ranges, size, head, assumptions: [...assumptions, ...problems], cpus };
}

function extracted({ address, length, block, offset }: PhysicalRange, fileOffset: number): ExtractedRange {
  return { address, length, block, offset, fileOffset };
}

async function placementsOf(
  snapshot: Snapshot,
  ranges: readonly ExtractedRange[],
): Promise<readonly Placement[]> {
  const memory = await snapshot.memory();
  return ranges.map(({ block, offset, length, fileOffset }) => ({
    block: memory.block(block),
    offset,
    length,
    at: fileOffset,
  }));
}

function needsAddresses(): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'a core file is of all memory, by its addresses: block is for the format raw',
  );
}
