import { open } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { TransferMemory } from '../engine/transfer.ts';
import { ioError, readAt, writeAt } from '../io/fd-io.ts';
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

/** A block's memory, open. Offsets are those in the block. */
export interface MemoryAccess extends AsyncDisposable {
  /** Fills the buffer; tells how many of the bytes are those of pages in another snapshot. */
  readonly read: (bytes: Uint8Array, offset: number) => Promise<number>;
  readonly write: (bytes: Uint8Array, offset: number) => Promise<void>;
  /** What was loaded into a buffer; null for other memory. */
  readonly buffer: Uint8Array | null;
}

/** The memory of several blocks, open. */
export interface OpenMemories extends AsyncDisposable {
  readonly list: readonly MemoryAccess[];
}

/**
 * Opens memory for work in JavaScript.
 * @param blocks the name is for errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function openMemories(
  blocks: readonly { readonly name: string; readonly memory: TransferMemory | SnapshotBlock }[],
  access: 'r' | 'r+',
): Promise<OpenMemories> {
  const list: MemoryAccess[] = [];
  const close = async (): Promise<void> => {
    for (const memory of list) await memory[Symbol.asyncDispose]();
  };
  try {
    for (const { name, memory } of blocks) list.push(await openMemory(name, memory, access));
    return { list, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openMemory(
  name: string,
  memory: TransferMemory | SnapshotBlock,
  access: 'r' | 'r+',
): Promise<MemoryAccess> {
  if ('source' in memory) return blockAccess(memory);
  const { path, fd, buffer, bufferLength, offset: start = 0 } = memory;
  if (buffer !== undefined) return bufferAccess(name, buffer, start);
  if (bufferLength !== undefined) return bufferAccess(name, new Uint8Array(bufferLength), start);
  if (fd !== undefined) return fileAccess(fd, `descriptor ${fd}`, start, async () => undefined);
  if (path === undefined) throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `block ${name} has no memory`);
  const handle = await open(path, access).catch((cause: unknown) => {
    throw ioError(`cannot open the memory of block ${name}`, path, cause);
  });
  return fileAccess(handle.fd, path, start, () => handle.close());
}

function fileAccess(fd: number, path: string, start: number, close: () => Promise<void>): MemoryAccess {
  return {
    read: async (bytes, offset) => {
      const found = await readAt(fd, path, bytes, start + offset);
      if (found < bytes.length) throw truncated(path, start + offset, bytes.length, start + offset + found);
      return 0;
    },
    write: (bytes, offset) => writeAt(fd, path, bytes, start + offset),
    buffer: null,
    [Symbol.asyncDispose]: close,
  };
}

function bufferAccess(name: string, buffer: Uint8Array, start: number): MemoryAccess {
  return {
    read: async (bytes, offset) => {
      const from = start + offset;
      if (from + bytes.length > buffer.length)
        throw truncated(`the buffer of block ${name}`, from, bytes.length, buffer.length);
      bytes.set(buffer.subarray(from, from + bytes.length));
      return 0;
    },
    write: async (bytes, offset) => buffer.set(bytes, start + offset),
    buffer,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function blockAccess({ source, area }: SnapshotBlock): MemoryAccess {
  const cache = new BitmapCache(source);
  return {
    read: async (bytes, offset) => {
      bytes.fill(0);
      const runs = await fillPages(source, cache, area, bytes, offset);
      return bytesIn(runs);
    },
    write: async () => {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', "another snapshot's block is only read");
    },
    buffer: null,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
