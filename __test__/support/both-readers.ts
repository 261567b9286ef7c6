import { isDeepStrictEqual } from 'node:util';

import { MappedRamError } from '../../ts/errors.ts';
import { bytesReader, readStreamIndex, type RandomAccessReader } from '../../ts/stream/index.ts';
import { PlainStream } from '../../ts/stream/read/plain-stream.ts';
import { SequentialReader } from '../../ts/stream/read/sequential-reader.ts';
import type { StreamIndex } from '../../ts/stream/stream-index.ts';

const CHUNK = 1 << 20;

/** Asserts that the reader of pipes and the reader at offsets see one and the same plain stream, whole or not. */
export async function assertReadersAgree(reader: RandomAccessReader, base = 0): Promise<void> {
  const [atOffsets, inOrder] = [await seenAtOffsets(reader, base), await seenInOrder(reader, base)];
  if (isDeepStrictEqual(atOffsets, inOrder)) return;
  throw new Error(
    `two readers disagree about ${reader.name}: ${JSON.stringify(atOffsets)} and ${JSON.stringify(inOrder)}`,
  );
}

type Seen = Readonly<Record<string, unknown>>;

async function seenAtOffsets(reader: RandomAccessReader, base: number): Promise<Seen> {
  const index = await readStreamIndex(reader, { offset: base });
  const pages = index.ram?.form === 'plain' ? index.ram.pages : undefined;
  return seen(
    index,
    Object.values(pages ?? {}).reduce((sum, count) => sum + count, 0),
  );
}

async function seenInOrder(reader: RandomAccessReader, base: number): Promise<Seen> {
  const stream = new PlainStream(new SequentialReader('pipe', chunks(reader), 'stream'), base);
  try {
    await stream.readHead();
    let count = 0;
    for await (const batch of stream.pages()) count += batch.length;
    return seen(await readStreamIndex(bytesReader(await stream.rest())), count);
  } catch (error) {
    if (error instanceof MappedRamError) return { complete: false, problem: error.code };
    throw error;
  }
}

function seen({ complete, problem, ram, sections, configuration }: StreamIndex, pages: number): Seen {
  if (ram === undefined || problem?.code === 'ERR_MAPPED_RAM_TRUNCATED')
    return { complete, problem: problem?.code };
  return {
    complete,
    problem: problem?.code,
    configuration,
    pages,
    pageSize: ram.targetPageSize,
    blocks: ram.blocks.map(({ id, length }) => [id, length]),
    // PARTs of live state are joined, and RAM's between them are not.
    sections: sections
      .filter(({ kind }) => kind !== 'part')
      .map(({ idstr, kind, bodyLength }) => [idstr, kind, bodyLength]),
  };
}

async function* chunks(reader: RandomAccessReader): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < reader.size; offset += CHUNK) {
    yield await reader.read(offset, Math.min(CHUNK, reader.size - offset));
  }
}
