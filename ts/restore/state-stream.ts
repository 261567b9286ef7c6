import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { disposeAfter } from '../host/dispose-all.ts';
import { writeAt } from '../io/fd-io.ts';
import { readPieces } from '../io/read-pieces.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { plainPages, stateBatches } from '../pack/device-state.ts';
import { BitmapCache } from '../pages/bitmap-cache.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import { pageRuns } from '../pages/page-runs.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { PlainPage } from '../stream/write/assemble.ts';
import type { Stretch } from '../host/touched-pages.ts';
import { procPath } from '../io/anonymous-file.ts';
import { identify, type SnapshotIdentity } from './snapshot-identity.ts';
import { StreamFile } from './ahead/stream-file.ts';
import { findStalePages, zeroPagesOf, type StalePages } from '../engine/stale-pages.ts';

/** Bytes of filled holes that call for a warning: a live save leaves fewer behind. */
const MANY = 256 * 2 ** 20;

export interface StateStreamOptions {
  /**
   * The blocks whose memory is in place when QEMU loads the stream, by id. The stream brings no pages of them, except
   * for `mapped`.
   */
  readonly inPlace: readonly string[];
  /**
   * True when the blocks in place are mappings of the snapshot file itself, or of a delta's base. The stream then has a
   * zero page for each page that the file marks as zero but fills with other bytes, and the pages that are in the delta.
   * @default false
   */
  readonly mapped?: boolean | undefined;
  /** Other blocks whose memory reads as zeros beforehand, by id: no zero pages are sent for them. @default [] */
  readonly fresh?: readonly string[] | undefined;
  /**
   * Parts of blocks in place that QEMU may have overwritten since, by block id. The stream brings their pages, too.
   * @default none
   */
  readonly overwritten?:
    | ReadonlyMap<string, readonly { readonly offset: number; readonly length: number }[]>
    | undefined;
  /**
   * True for pages that must not reach a disk: the file is in memory, however large it is. Otherwise a stream above
   * 64 MiB is in the system's directory for temporary files, where that has room.
   * @default false
   */
  readonly inMemory?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A guest's state as a plain migration stream, in a file without a name. Any number of QEMUs can load it, one after the
 * other or at once, in any QEMU version and without capabilities.
 */
export class StateStream implements AsyncDisposable {
  /** The options that the stream was made for. */
  readonly options: StateStreamOptions;
  /** The snapshot that the stream was made from. */
  readonly identity: SnapshotIdentity;
  /** Length of the stream in bytes. */
  readonly size: number;
  /** A descriptor that is open for reading only, as QEMU wants descriptors in an fdset to be. */
  readonly fd: number;
  /** Number of pages of mapped blocks that the file marks as zero but fills with other bytes. */
  readonly stalePages: number;
  /** Possible flaws of the snapshot, in words. */
  readonly warnings: readonly string[];
  readonly #close: () => Promise<void>;

  /** @internal */
  constructor(
    options: StateStreamOptions,
    identity: SnapshotIdentity,
    fd: number,
    size: number,
    stale: readonly StalePages[],
    close: () => Promise<void>,
  ) {
    this.options = options;
    this.identity = identity;
    this.fd = fd;
    this.size = size;
    this.stalePages = stale.reduce((sum, { runs }) => sum + pagesIn(runs), 0);
    const read = stale.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    this.warnings = read < MANY ? [] : [holesFilled(read)];
    this.#close = close;
  }

  /** The path by which QEMUs of the same user on this host can open the stream (as `file:PATH`), until it is closed. */
  get path(): string {
    return procPath(this.fd);
  }

  /** Closes the stream. Loads under way go on. May be called again. */
  close(): Promise<void> {
    return this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Makes the stream that QEMU loads when the memory of some blocks is in place already: the names of those blocks, the
 * pages of all other blocks, and the device state.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_UNSUPPORTED as `Snapshot.completeRam`,
 *   ERR_MAPPED_RAM_IO
 */
export async function openStateStream(
  source: SnapshotSource | Snapshot,
  options: StateStreamOptions,
): Promise<StateStream> {
  assertOptions(options);
  assertTexts('inPlace', options.inPlace);
  if (options.fresh !== undefined) assertTexts('fresh', options.fresh);
  return usingSnapshot(source, options.signal, (snapshot) => makeStateStream(snapshot, options));
}

/**
 * Makes the stream as `openStateStream` does.
 * @param given an empty file, which QEMUs may have been handed before; it stays the caller's. @default a new one
 * @throws {MappedRamError} as `openStateStream` @internal
 */
export async function makeStateStream(
  snapshot: Snapshot,
  options: StateStreamOptions,
  given?: StreamFile,
): Promise<StateStream> {
  const { inPlace, mapped = false, fresh = [], overwritten = new Map(), inMemory, signal } = options;
  const { blocks } = snapshot.completeRam();
  const place = snapshot.mappable;
  const { fd } = localFile(place.reader, 'a state stream');
  const identity = identify(snapshot);
  const others = blocks.filter(({ id }) => !inPlace.includes(id));
  const stale: StalePages[] = [];
  for (const block of mapped ? place.blocks.filter(({ id }) => inPlace.includes(id)) : []) {
    stale.push(await findStalePages(fd, place.path, block));
  }
  const changed = mapped ? blocks.filter(({ id }) => inPlace.includes(id)) : [];
  signal?.throwIfAborted();
  const file =
    given ?? (await StreamFile.create([...others, ...(await changedLengths(snapshot, changed))], inMemory));
  try {
    const pages = pagesFor(snapshot, { others, changed, fresh, stale, overwritten });
    const size = await writeStream(snapshot, pages, file, signal);
    if (given === undefined) await file.seal();
    let closing: Promise<void> | undefined;
    // Who gave the file closes it.
    const close = async (): Promise<void> => (given === undefined ? (closing ??= file.close()) : undefined);
    return new StateStream(options, identity, file.readFd, size, stale, close);
  } catch (error) {
    throw given === undefined ? await disposeAfter(error, [file]) : error;
  }
}

/** @returns the bytes of the stream */
async function writeStream(
  snapshot: Snapshot,
  pages: AsyncIterable<PlainPage>,
  file: StreamFile,
  signal: AbortSignal | undefined,
): Promise<number> {
  let size = 0;
  for await (const batch of stateBatches(snapshot, pages)) {
    for await (const bytes of readPieces(batch, snapshot.reader)) {
      signal?.throwIfAborted();
      await writeAt(file.fd, file.name, bytes, size);
      size += bytes.length;
    }
  }
  return size;
}

interface PagesToSend {
  readonly others: readonly MappedRamBlock[];
  /** The blocks that are mapped out of the base of a delta. */
  readonly changed: readonly MappedRamBlock[];
  readonly fresh: readonly string[];
  readonly stale: readonly StalePages[];
  readonly overwritten: ReadonlyMap<string, readonly Stretch[]>;
}

async function* pagesFor(
  snapshot: Snapshot,
  { others, changed, fresh, stale, overwritten }: PagesToSend,
): AsyncGenerator<PlainPage, void, void> {
  // The last record of a page counts: a stale page of the base may be in the delta.
  for (const pages of stale) yield* zeroPagesOf(pages);
  for (const block of changed) yield* pagesOfDelta(snapshot, block);
  for (const [id, parts] of overwritten) yield* pagesWithin(snapshot, id, parts);
  for (const block of others) yield* plainPages(snapshot, [block], !fresh.includes(block.id));
}

/** The pages of a block that are in a delta itself. A snapshot that is whole has none beside its file's. */
async function* pagesOfDelta(
  { base, sources: [own] }: Snapshot,
  block: MappedRamBlock,
): AsyncGenerator<PlainPage, void, void> {
  if (base === undefined || own === undefined) return;
  // Runs, because most of a large bitmap is clear, and a turn for each page of it takes a long time.
  for await (const { offset, length, fileOffset } of pageRuns(new BitmapCache(own), block.area)) {
    if (fileOffset === undefined) continue;
    for (let done = 0; done < length; done += block.area.pageSize) {
      yield { block: block.id, offset: offset + done, source: fileOffset + done };
    }
  }
}

/** The bytes that the stream gets of those pages, by block. */
async function changedLengths(
  { base, sources: [own] }: Snapshot,
  blocks: readonly MappedRamBlock[],
): Promise<readonly { readonly length: number }[]> {
  if (base === undefined || own === undefined) return [];
  const lengths: { readonly length: number }[] = [];
  for (const block of blocks) {
    lengths.push({ length: (await countSetPages(own, block)) * block.area.pageSize });
  }
  return lengths;
}

async function* pagesWithin(
  snapshot: Snapshot,
  id: string,
  parts: readonly Stretch[],
): AsyncGenerator<PlainPage, void, void> {
  const block = snapshot.completeRam().blocks.find((candidate) => candidate.id === id);
  if (block === undefined || parts.length === 0) return;
  const { pageSize } = block.area;
  for await (const page of plainPages(snapshot, [block])) {
    const isIn = parts.some(
      ({ offset, length }) => page.offset < offset + length && offset < page.offset + pageSize,
    );
    if (isIn) yield page;
  }
}

function holesFilled(bytes: number): string {
  return `${bytes} bytes of zero pages are no holes in the file and had to be read: it was copied without its holes (fallocate --dig-holes brings them back)`;
}

function pagesIn(runs: readonly number[]): number {
  return runs.reduce((sum, value, index) => (index % 2 === 1 ? sum + value : sum), 0);
}
