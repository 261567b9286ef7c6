import { open, type FileHandle } from 'node:fs/promises';

/** One way to damage a snapshot. */
export interface Corruption {
  readonly title: string;
  /** True when nothing in the file contradicts the damage: only a seal can tell. */
  readonly hidden: boolean;
  readonly change: Change;
}

/** Bytes that are written over others, or a tail that is replaced. Sizes and offsets in bytes. */
export type Change =
  | { readonly kind: 'write'; readonly writes: readonly Write[] }
  | { readonly kind: 'truncate'; readonly size: number }
  /** A change of the stream's tail. It reads all bytes from `from` on into memory. */
  | { readonly kind: 'tail'; readonly from: number; readonly change: (tail: Buffer) => Buffer };

export interface Write {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Damages the file as long as `use` takes. A truncated file stays truncated, so truncations must come last, the
 * smallest at the very end.
 */
export async function damaged(path: string, change: Change, use: () => Promise<void>): Promise<void> {
  await using handle = await open(path, 'r+');
  const undo = await apply(handle, change);
  try {
    await use();
  } finally {
    await undo();
  }
}

async function apply(handle: FileHandle, change: Change): Promise<() => Promise<void>> {
  if (change.kind === 'truncate') {
    await handle.truncate(change.size);
    return async () => undefined;
  }
  const { size } = await handle.stat();
  if (change.kind === 'tail') {
    const tail = await readAt(handle, change.from, size - change.from);
    await replaceTail(handle, change.from, change.change(Buffer.from(tail)));
    return () => replaceTail(handle, change.from, tail);
  }
  const old: Write[] = [];
  for (const { offset, bytes } of change.writes) {
    old.push({ offset, bytes: await readAt(handle, offset, bytes.length) });
    await handle.write(bytes, 0, bytes.length, offset);
  }
  return async () => {
    for (const { offset, bytes } of old) await handle.write(bytes, 0, bytes.length, offset);
  };
}

async function replaceTail(handle: FileHandle, from: number, tail: Uint8Array): Promise<void> {
  await handle.truncate(from);
  await handle.write(tail, 0, tail.length, from);
}

export async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await handle.read(bytes, 0, length, offset);
  return bytes;
}
