import assert from 'node:assert/strict';

import { PlainStream } from '../../ts/stream/read/plain-stream.ts';
import { readStreamIndex, walkStream, type RamPageRecord } from '../../ts/stream/index.ts';
import { bytesReader } from '../../ts/stream/reader.ts';
import { SequentialReader } from '../../ts/stream/read/sequential-reader.ts';
import { roughly, type FuzzTarget } from '../target.ts';

/** Bytes of an input that is taken for a pipe. */
const MAX_BYTES = 2 ** 18;
const CHUNKS = [1, 64 * 1024, 7, 4096, 100_000] as const;

/**
 * A plain stream out of a pipe: read once, front to back, in pieces of odd sizes. It yields the same pages as the same
 * stream read at offsets.
 */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: MAX_BYTES, bytesOfMemory: 2 ** 27 },
  run: async (reader) => {
    const bytes = await reader.read(0, Math.min(reader.size, MAX_BYTES));
    const file = bytesReader(bytes);
    const once = new PlainStream(new SequentialReader('pipe', inChunks(bytes)), 0);
    const head = await once.readHead();
    const pages: RamPageRecord[] = [];
    for await (const batch of once.pages()) {
      for (const page of batch) pages.push(page);
    }
    const rest = await once.rest();
    const whole = await readStreamIndex(file);
    const stripped = await readStreamIndex(bytesReader(rest));
    // Pages behind the END of RAM are pages for a reader at offsets. A pipe leaves them over, and `convert` refuses
    // them.
    if (stripped.ram?.form === 'plain' && Object.values(stripped.ram.pages).some((count) => count > 0))
      return 'pages behind END';
    if (whole.complete && stripped.complete && whole.ram?.targetPageSize === head.targetPageSize) {
      assert.deepEqual(pages, await pagesOf(file));
      assert.deepEqual(
        head.blocks.map(({ id, length }) => [id, length]),
        whole.ram.blocks.map(({ id, length }) => [id, length]),
      );
      assert.deepEqual(
        stripped.sections.map(({ idstr, offset, length }) => [idstr, once.sourceOffset(offset), length]),
        whole.sections.map(({ idstr, offset, length }) => [idstr, offset, length]),
      );
    }
    return [whole.complete, stripped.complete, roughly(pages.length), roughly(stripped.sections.length)].join(
      ' ',
    );
  },
};

async function pagesOf(reader: ReturnType<typeof bytesReader>): Promise<readonly RamPageRecord[]> {
  const pages: RamPageRecord[] = [];
  for await (const record of walkStream(reader)) if (record.type === 'ram-page') pages.push(record);
  return pages;
}

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  let offset = 0;
  for (let index = 0; offset < bytes.length; index += 1) {
    const size = CHUNKS[index % CHUNKS.length] ?? 1;
    yield bytes.subarray(offset, offset + size);
    offset += size;
  }
}
