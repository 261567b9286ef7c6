import { bitmapBytes } from '../../ts/stream/page-area.ts';
import type { ExecutionContext } from 'ava';

import { encodeCommand } from '../../ts/stream/command.ts';
import type { RandomAccessReader, StreamIndex, StreamRecord } from '../../ts/stream/index.ts';
import { encodeMappedRamStart, encodePlainRamStart } from '../../ts/stream/write/encode-ram.ts';

/** Asserts that every record starts where the one before ends. Records inside a section belong to it. */
export function assertContiguous(
  t: ExecutionContext,
  records: readonly StreamRecord[],
  base: number,
  size: number,
): void {
  let position = base;
  for (const record of records) {
    if (record.type === 'ram-list' || record.type === 'ram-block' || record.type === 'ram-page') {
      t.true(record.offset >= position);
    } else {
      t.is(record.offset, position, record.type);
      position += record.length;
    }
  }
  t.is(position, size);
}

/** Asserts that the beginning of a file, encoded from its own index, is QEMU's, byte for byte. */
export async function assertEncodedAlike(
  t: ExecutionContext,
  file: RandomAccessReader,
  index: StreamIndex,
): Promise<void> {
  const { ram, base, configuration } = index;
  if (ram?.startEnd === undefined) throw new Error('no RAM');
  const { sectionId, targetPageSize, blocks } = ram;
  const before = index.commands.filter(({ offset }) => offset < ram.offset);
  const records = Buffer.concat(before.map(({ code, data }) => encodeCommand(code, data)));
  if (ram.form === 'plain') {
    const bytes = encodePlainRamStart({ configuration, blocks, sectionId, targetPageSize, records });
    t.is(base + bytes.length, ram.startEnd);
    t.deepEqual(bytes, await file.read(base, bytes.length));
    return;
  }
  const listed = blocks.map(({ id, length, address }) =>
    address === undefined ? { id, length } : { id, length, address },
  );
  const start = encodeMappedRamStart({
    base,
    configuration,
    blocks: listed,
    sectionId,
    targetPageSize,
    records,
  });
  for (const { offset, bytes } of start.segments) t.deepEqual(bytes, await file.read(offset, bytes.length));
  t.is(start.endOffset, ram.startEnd);
  t.is(start.layout.total, ram.total);
  for (const [place, block] of ram.blocks.entries()) {
    const { entryOffset, headerOffset, area } = block;
    t.like(start.layout.blocks[place], { entryOffset, headerOffset, area });
    const { bitmapOffset, pagesOffset } = area;
    const bitmapSize = bitmapBytes(area);
    const padding = await file.read(bitmapOffset + bitmapSize, pagesOffset - bitmapOffset - bitmapSize);
    t.true(padding.every((byte) => byte === 0));
  }
}

export async function jsonOf(
  file: RandomAccessReader,
  { vmdescription }: StreamIndex,
): Promise<Uint8Array | undefined> {
  return vmdescription && (await file.read(vmdescription.jsonOffset, vmdescription.jsonLength));
}
