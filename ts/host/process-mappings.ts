import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

import { type FileIdentity, identityOf, isSameFile } from './file-identity.ts';

/** A stretch of a process's address space into which a file is mapped (proc_pid_maps(5)). */
interface Mapping {
  /** The first byte of the stretch in the address space; `end` is the byte after the last. */
  readonly start: number;
  readonly end: number;
  /** True when the process's writes reach the file. */
  readonly isShared: boolean;
  /** The file's byte that is at `start`. */
  readonly offset: number;
  /** The stretch as /proc/PID/map_files names it. */
  readonly link: string;
  /** The file's device, as `major:minor` in hexadecimal digits; not on every filesystem the one that stat has. */
  readonly device: string;
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
  /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) ...(?<sharing>.) (?<offset>[0-9a-f]+) (?<device>\S+) (?<inode>\d+)/;

/**
 * Looks for a file in a process that keeps the descriptors of the files it maps, as QEMU does. A name proves nothing:
 * the file that had it may have been removed.
 *
 * @returns undefined when this process may not look, or there is no such process
 */
export async function findFileIn(pid: number, file: FileIdentity): Promise<FileInProcess | undefined> {
  const isOpen = hasOpen(pid, file);
  const maps = await readFile(`/proc/${pid}/maps`, 'latin1').catch(() => undefined);
  if (isOpen === undefined || maps === undefined) return undefined;
  const mappings = maps.split('\n').flatMap((line) => mappingOf(line, file));
  return { isOpen, mappings };
}

/**
 * Tells whether one of a process's descriptors is of the file.
 * @returns undefined when this process may not look, or there is no such process
 */
export function hasOpen(pid: number, file: FileIdentity): boolean | undefined {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => {
      const open = identityOf(`${directory}/${fd}`);
      return open !== undefined && isSameFile(open, file);
    });
  } catch {
    return undefined;
  }
}

/**
 * Tells whether a process has the file open or mapped, whatever it does with it.
 * @returns undefined when this process may not look, or there is no such process
 */
export async function usesFile(pid: number, file: FileIdentity): Promise<boolean | undefined> {
  const found = await findFileIn(pid, file);
  return found && (found.isOpen || found.mappings.some((mapping) => isOfFile(pid, mapping, file)));
}

/**
 * Tells whether a process's memory is the file's own bytes, so that what it writes there others read.
 * @returns undefined when this process may not look, or there is no such process
 */
export async function sharesFile(pid: number, file: FileIdentity): Promise<boolean | undefined> {
  const found = await findFileIn(pid, file);
  return found?.mappings.some((mapping) => mapping.isShared && isOfFile(pid, mapping, file));
}

/** Another file may have the same inode number, on another filesystem. */
function isOfFile(pid: number, { link, device }: Mapping, file: FileIdentity): boolean {
  // Only the privileged may follow these links.
  const mapped = identityOf(`/proc/${pid}/map_files/${link}`);
  return mapped === undefined ? device === deviceOf(file) : isSameFile(mapped, file);
}

/** Splits a device number as the kernel does (makedev(3)), and writes it as maps has it. */
function deviceOf({ dev }: FileIdentity): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
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
  const { start, end, sharing, offset, device = '', inode } = MAPPING.exec(line)?.groups ?? {};
  if (inode !== String(ino)) return [];
  const [from, to, first] = [start, end, offset].map((hex) => Number(`0x${hex}`));
  if (from === undefined || to === undefined || first === undefined) return [];
  const link = `${from.toString(16)}-${to.toString(16)}`;
  return [{ start: from, end: to, isShared: sharing === 's', offset: first, link, device }];
}
