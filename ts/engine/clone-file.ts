import { constants } from 'node:os';

import { filesystemOf } from '../host/filesystem.ts';
import { binding, toMappedRamError } from './binding.ts';

/** Bytes that XFS copies at once when shared blocks are written: it would take 128 KiB. */
const UNIT = 4096;

/**
 * Makes a file a copy of another that shares its blocks (FICLONE), which takes a moment and no room.
 * @param into open for writing; whatever is in it goes
 * @param path the new file's name in errors
 * @returns the reason in words when the filesystem cannot; undefined when the file is a copy now
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export async function cloneFile(from: number, into: number, path: string): Promise<string | undefined> {
  const { error, unavailable } = await binding().cloneFile(from, into, UNIT);
  if (error) throw toMappedRamError({ ...error, path });
  return unavailable === undefined || unavailable === null ? undefined : inWords(unavailable, into);
}

/** Codes of filesystems that know nothing of shared blocks. */
const UNKNOWN = new Set(['ENOTTY', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Says what the system's error means here. */
async function inWords(unavailable: string, into: number): Promise<string> {
  const number = Number(/os error (?<number>\d+)/.exec(unavailable)?.groups?.['number']);
  const [code] = Object.entries(constants.errno).find(([, value]) => value === number) ?? [];
  if (code === 'EXDEV') return 'they would be on two filesystems';
  const type = (await filesystemOf(`/proc/self/fd/${into}`))?.type;
  const filesystem = type === undefined ? 'this filesystem' : `the filesystem ${type}`;
  if (UNKNOWN.has(code ?? '')) return `${filesystem} has no blocks that two files share`;
  return `${filesystem} does not share them between these two files (${unavailable})`;
}
