import { fstatSync, openSync, constants, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { platform } from 'node:process';
import type { Readable } from 'node:stream';

import { MappedRamError } from '../errors.ts';
import { SequentialReader } from '../stream/read/sequential-reader.ts';
import { ioError } from './fd-io.ts';
import type { OpenSource } from './open-source.ts';

/** Bytes that are read from a file at once. */
const CHUNK = 1 << 22;

/** Reads a source front to back from `offset` on. The next piece is read while the caller works on one. */
export function sequentialFile(reader: OpenSource, offset: number): SequentialReader {
  return new SequentialReader(reader.name, chunksOf(reader, offset), 'file', offset);
}

async function* chunksOf(reader: OpenSource, offset: number): AsyncGenerator<Uint8Array, void, void> {
  const readAt = (at: number): Promise<Uint8Array> | undefined => {
    const length = Math.min(CHUNK, reader.size - at);
    if (length <= 0) return undefined;
    const chunk = reader.read(at, length);
    // The failure belongs to the caller that asks for the chunk, and perhaps no caller does.
    chunk.catch(() => undefined);
    return chunk;
  };
  let ahead = readAt(offset);
  try {
    for (let at = offset; ahead !== undefined; at += CHUNK) {
      const chunk = await ahead;
      ahead = readAt(at + CHUNK);
      yield chunk;
    }
  } finally {
    // The caller may close the source next.
    await ahead?.catch(() => undefined);
  }
}

/**
 * The bytes of a pipe, a socket or anything else that gives them in order.
 * @param signal ends the reading, also while it waits for bytes
 */
export function sequentialStream(
  stream: Readable | AsyncIterable<Uint8Array>,
  name: string,
  signal?: AbortSignal,
): SequentialReader {
  return new SequentialReader(name, bytesOf(stream, name, signal));
}

async function* bytesOf(
  stream: Readable | AsyncIterable<unknown>,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const destroy = (): void => {
    if ('destroy' in stream) stream.destroy();
  };
  signal?.throwIfAborted();
  signal?.addEventListener('abort', destroy, { once: true });
  try {
    for await (const chunk of stream) {
      signal?.throwIfAborted();
      if (!(chunk instanceof Uint8Array)) {
        throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'what the stream gives', {
          path,
          expected: 'bytes',
          found: typeof chunk,
        });
      }
      yield chunk;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof MappedRamError ? error : ioError('cannot read the stream', path, error);
  } finally {
    signal?.removeEventListener('abort', destroy);
  }
}

/** The pipe behind a descriptor, opened anew so that the descriptor stays the caller's; undefined for anything else. */
export function pipeBehind(fd: number): Readable | undefined {
  return openPipe(`/proc/self/fd/${fd}`, `descriptor ${fd}`, () => fstatSync(fd).isFIFO());
}

/**
 * The pipe at a path, as a shell makes one of `<(command)`; undefined for anything else. Reading it waits for a writer.
 */
export function pipeAt(path: string): Readable | undefined {
  return openPipe(path, path, () => statSync(path, { throwIfNoEntry: false })?.isFIFO() === true);
}

function openPipe(path: string, name: string, isPipe: () => boolean): Readable | undefined {
  if (platform !== 'linux') return undefined;
  try {
    if (!isPipe()) return undefined;
    // A socket reads outside of the thread pool, where a read that waits for bytes cannot be given up.
    return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) });
  } catch (cause) {
    throw ioError('cannot open the pipe', name, cause);
  }
}
