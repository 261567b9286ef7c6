import { readLibvirtImage } from '../stream/read/libvirt-image.ts';
import type { RandomAccessReader } from '../stream/reader.ts';

/**
 * Where the stream starts in a file: at the offset that was given, or, when none was, behind libvirt's header if the file
 * has one (docs/format.md §12).
 * @throws {MappedRamError} as `readLibvirtImage`
 */
export async function streamBase(reader: RandomAccessReader, offset: number): Promise<number> {
  if (offset !== 0) return offset;
  return (await readLibvirtImage(reader))?.streamOffset ?? 0;
}
