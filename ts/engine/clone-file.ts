import { binding, toMappedRamError } from './binding.ts';

/** Bytes that XFS copies at once when shared blocks are written: it would take 128 KiB. */
const UNIT = 4096;

/**
 * Makes a file a copy of another that shares its blocks (FICLONE), which takes a moment and no room.
 * @param into open for writing; whatever is in it goes
 * @param path the new file's name in errors
 * @returns the reason in the system's words when the filesystem cannot; undefined when the file is a copy now
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function cloneFile(from: number, into: number, path: string): Promise<string | undefined> {
  const { error, unavailable } = await binding().cloneFile(from, into, UNIT);
  if (error) throw toMappedRamError({ ...error, path });
  return unavailable;
}
