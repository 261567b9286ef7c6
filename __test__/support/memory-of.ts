import { readFile } from 'node:fs/promises';

import { bytesReader, readStreamIndex, walkStream } from '../../ts/stream/index.ts';
import { PAGE } from './synthetic.ts';

/**
 * The guest memory in a file, by block, read without the package's own code for pages: by the bitmap, or record by
 * record (records of zero pages and of whole ones only).
 */
export async function memoryOf(path: string, base = 0): Promise<ReadonlyMap<string, Buffer>> {
  const bytes = await readFile(path);
  const reader = bytesReader(bytes, path);
  const { ram } = await readStreamIndex(reader, { offset: base });
  const memory = new Map((ram?.blocks ?? []).map(({ id, length }) => [id, Buffer.alloc(length)]));
  if (ram?.form === 'mapped-ram') {
    for (const { id, area } of ram.blocks) {
      const { length, bitmapOffset, pagesOffset } = area;
      for (let page = 0; page < length / PAGE; page += 1) {
        if (((bytes[bitmapOffset + (page >> 3)] ?? 0) & (1 << (page % 8))) === 0) continue;
        const at = pagesOffset + page * PAGE;
        memory.get(id)?.set(bytes.subarray(at, at + PAGE), page * PAGE);
      }
    }
    return memory;
  }
  for await (const record of walkStream(reader, { offset: base })) {
    if (record.type !== 'ram-page') continue;
    if (record.kind !== 'zero' && record.kind !== 'page') throw new Error(`a record of kind ${record.kind}`);
    const { block, blockOffset, dataOffset } = record;
    const content =
      record.kind === 'page' ? bytes.subarray(dataOffset, dataOffset + PAGE) : Buffer.alloc(PAGE);
    memory.get(block)?.set(content, blockOffset);
  }
  return memory;
}
