import { readdir, readFile, stat } from 'node:fs/promises';

import { type FileIdentity, isSameFile } from './file-identity.ts';

/** A stretch of a process's address space into which a file is mapped (proc_pid_maps(5)). */
interface Mapping {
  /** The first byte of the stretch in the address space; `end` is the byte after the last. */
  readonly start: number;
  readonly end: number;
  /** True when the process's writes reach the file. */
  readonly isShared: boolean;
  /** The file's byte that is at `start`. */
  readonly offset: number;
}

/** The uses of a file by a process. */
export interface FileInProcess {
  /** True when one of the process's descriptors is of the file. */
  readonly isOpen: boolean;
  /**
   * Mappings of files with the same inode number. Some filesystems have another device number here than in stat, which
   * is why the search looks at descriptors, too. Others have another inode number here, and so no mappings.
   */
  readonly mappings: readonly Mapping[];
}

const MAPPING =
  /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) ...(?<sharing>.) (?<offset>[0-9a-f]+) \S+ (?<inode>\d+)/;

/**
 * Looks for a file in a process that keeps the descriptors of the files it maps, as QEMU does. A name proves nothing:
 * the file that had it may have been removed.
 *
 * @returns undefined when this process may not look, or there is no such process
 */
export async function findFileIn(pid: number, file: FileIdentity): Promise<FileInProcess | undefined> {
  const [descriptors, maps] = await Promise.all([
    readdir(`/proc/${pid}/fd`).catch(() => undefined),
    readFile(`/proc/${pid}/maps`, 'latin1').catch(() => undefined),
  ]);
  if (descriptors === undefined || maps === undefined) return undefined;
  const mappings = maps.split('\n').flatMap((line) => mappingOf(line, file));
  return { isOpen: await hasOpen(pid, descriptors, file), mappings };
}

/** A place where a process is expected to have a file mapped. */
interface MappedPlace {
  /** Address in the process's address space; undefined when any will do. */
  readonly address: number | undefined;
  /** The file's byte that is at the address. */
  readonly offset: number;
}

/**
 * Tells whether a process shares a file, and that at an address, as QEMU does with the file of a memory backend.
 * @returns undefined when this process may not look, or there is no such process
 */
export async function isMappedBy(
  pid: number,
  file: FileIdentity,
  { address, offset }: MappedPlace,
): Promise<boolean | undefined> {
  const found = await findFileIn(pid, file);
  if (found === undefined) return undefined;
  return (
    found.isOpen &&
    found.mappings.some(
      (mapping) =>
        mapping.isShared &&
        (address === undefined
          ? mapping.offset <= offset && offset < mapping.offset + mapping.end - mapping.start
          : mapping.start <= address &&
            address < mapping.end &&
            mapping.offset + address - mapping.start === offset),
    )
  );
}

function mappingOf(line: string, { ino }: FileIdentity): readonly Mapping[] {
  const { start, end, sharing, offset, inode } = MAPPING.exec(line)?.groups ?? {};
  if (inode !== String(ino)) return [];
  const [from, to, first] = [start, end, offset].map((hex) => Number(`0x${hex}`));
  if (from === undefined || to === undefined || first === undefined) return [];
  return [{ start: from, end: to, isShared: sharing === 's', offset: first }];
}

async function hasOpen(pid: number, descriptors: readonly string[], file: FileIdentity): Promise<boolean> {
  for (const fd of descriptors) {
    const open = await stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => undefined);
    if (open !== undefined && isSameFile(open, file)) return true;
  }
  return false;
}
