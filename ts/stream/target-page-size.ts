import { CAPABILITY_IGNORE_SHARED, CAPABILITY_MAPPED_RAM } from './constants.ts';
import type { Configuration } from './configuration.ts';
import type { StreamCursor } from './read/stream-cursor.ts';

/** The smallest and largest target page, in bytes: those of AVR and of ARM (docs/format.md §1.2). */
export const MIN_TARGET_PAGE_SIZE = 256;
export const MAX_TARGET_PAGE_SIZE = 65_536;

/** Bytes of the longest block list entry, with the word before it, up to and with the header's page size. */
const ENTRY = 8 + 1 + 255 + 8 + 8 + 4 + 8;

/** Tells whether some machine of QEMU has pages of this size. */
export function isTargetPageSize(value: unknown): value is number {
  return (
    typeof value === 'number' &&
    value >= MIN_TARGET_PAGE_SIZE &&
    value <= MAX_TARGET_PAGE_SIZE &&
    Number.isInteger(Math.log2(value))
  );
}

/** The page size that CONFIGURATION gives. Machines with the smallest pages of their architecture leave it out. */
export function targetPageSizeIn({ targetPageBits }: Configuration): number | undefined {
  return targetPageBits === undefined ? undefined : 2 ** targetPageBits;
}

/** The page size in the first header of a mapped-ram file whose block list is at the cursor, which stays there. */
export async function mappedPageSize(
  { reader, position }: StreamCursor,
  { capabilities }: Configuration,
): Promise<number | undefined> {
  if (!capabilities.includes(CAPABILITY_MAPPED_RAM)) return undefined;
  const bytes = await reader.read(position, Math.min(ENTRY, reader.size - position));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const address = capabilities.includes(CAPABILITY_IGNORE_SHARED) ? 8 : 0;
  const at = bytes.length > 8 ? 8 + 1 + view.getUint8(8) + 8 + address + 4 : bytes.length;
  if (at + 8 > bytes.length) return undefined;
  const size = Number(view.getBigUint64(at));
  return isTargetPageSize(size) ? size : undefined;
}
