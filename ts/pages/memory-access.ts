import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { TransferMemory } from '../engine/transfer.ts';
import { fileSize, ioError, resize, writeAt } from '../io/fd-io.ts';
import { FileReader } from '../io/file-reader.ts';
import type { OpenSource } from '../io/open-source.ts';
import type { PageArea } from '../stream/page-area.ts';
import { truncated } from '../stream/reader.ts';
import { BitmapCache } from './bitmap-cache.ts';
import { bytesIn, fillPages } from './fill-pages.ts';

/** A block of another snapshot, as memory to be read. */
export interface SnapshotBlock {
  readonly source: OpenSource;
  readonly area: PageArea;
}

/** A block's memory that JavaScript reads. Offsets are those in the block. */
interface MemorySource extends AsyncDisposable {
  /** Fills the buffer. Returns how many of the bytes are those of pages in another snapshot. */
  readonly read: (bytes: Uint8Array, offset: number) => Promise<number>;
}

/** A block's memory that JavaScript writes. Offsets are those in the block. */
interface MemoryTarget extends AsyncDisposable {
  readonly write: (bytes: Uint8Array, offset: number) => Promise<void>;
  /** The buffer that was written; null for other memory. */
  readonly buffer: Uint8Array | null;
}

/** The memory of several blocks, open. */
interface OpenMemories<Memory> extends AsyncDisposable {
  readonly list: readonly Memory[];
}

/** Opens the memory of each block, or of none. */
export async function openEach<Block, Memory extends AsyncDisposable>(
  blocks: readonly Block[],
  openOne: (block: Block) => Promise<Memory>,
): Promise<OpenMemories<Memory>> {
  const list: Memory[] = [];
  const close = async (): Promise<void> => {
    for (const memory of list) await memory[Symbol.asyncDispose]();
  };
  try {
    for (const block of blocks) list.push(await openOne(block));
    return { list, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Opens memory for reading.
 * @param name the block's name in errors
 * @throws {MappedRamError} as `FileReader.open`
 */
export async function openMemory(
  name: string,
  memory: TransferMemory | SnapshotBlock,
): Promise<MemorySource> {
  if ('source' in memory) return blockSource(memory);
  const { path, fd, buffer, offset: start = 0 } = memory;
  if (memory.process !== undefined || memory.copy !== undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      `the memory of block ${name} is in a process, which only the engine reads, into local files`,
    );
  }
  if (buffer !== undefined) return bufferSource(name, buffer, start);
  if (path === undefined && fd === undefined) throw noMemory(name);
  const reader = path === undefined ? await FileReader.over(fd ?? -1) : await FileReader.open(path);
  const read = async (bytes: Uint8Array, offset: number): Promise<number> => {
    await reader.readInto(bytes, start + offset);
    return 0;
  };
  return { read, [Symbol.asyncDispose]: () => reader.close() };
}

/**
 * Opens memory for writing, and makes files long enough.
 * @param length of the block, in bytes
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function openMemoryTarget(
  name: string,
  memory: TransferMemory,
  length: number,
): Promise<MemoryTarget> {
  const { path, fd, bufferLength, offset: start = 0 } = memory;
  if (bufferLength !== undefined) return bufferTarget(new Uint8Array(bufferLength));
  if (fd !== undefined) return fileTarget(fd, `descriptor ${fd}`, start, length, async () => undefined);
  if (path === undefined) throw noMemory(name);
  // Opening a fifo without O_NONBLOCK would wait for a reader.
  const handle = await open(path, constants.O_RDWR | (constants.O_NONBLOCK ?? 0)).catch((cause: unknown) => {
    throw ioError(`cannot open the memory of block ${name}`, path, cause);
  });
  try {
    return await fileTarget(handle.fd, path, start, length, () => handle.close());
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function fileTarget(
  fd: number,
  path: string,
  start: number,
  length: number,
  close: () => Promise<void>,
): Promise<MemoryTarget> {
  const end = start + length;
  if ((await fileSize(fd, path)) < end) await resize(fd, path, end);
  return {
    write: (bytes, offset) => writeAt(fd, path, bytes, start + offset),
    buffer: null,
    [Symbol.asyncDispose]: close,
  };
}

function bufferSource(name: string, buffer: Uint8Array, start: number): MemorySource {
  const read = async (bytes: Uint8Array, offset: number): Promise<number> => {
    const from = start + offset;
    if (from + bytes.length > buffer.length)
      throw truncated(`the buffer of block ${name}`, from, bytes.length, buffer.length);
    bytes.set(buffer.subarray(from, from + bytes.length));
    return 0;
  };
  return { read, [Symbol.asyncDispose]: async () => undefined };
}

function bufferTarget(buffer: Uint8Array): MemoryTarget {
  const write = async (bytes: Uint8Array, offset: number): Promise<void> => buffer.set(bytes, offset);
  return { write, buffer, [Symbol.asyncDispose]: async () => undefined };
}

function blockSource({ source, area }: SnapshotBlock): MemorySource {
  const cache = new BitmapCache(source);
  const read = async (bytes: Uint8Array, offset: number): Promise<number> => {
    bytes.fill(0);
    return bytesIn(await fillPages(source, cache, area, bytes, offset));
  };
  return { read, [Symbol.asyncDispose]: async () => undefined };
}

function noMemory(name: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `block ${name} has no memory`);
}
