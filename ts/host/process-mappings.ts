import { readdir, readFile, stat } from 'node:fs/promises';

/** A file, as bigint stats have it. */
export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** Where a process is expected to have a file mapped. */
export interface MappedPlace {
  /** In its address space. */
  readonly address: number;
  /** The byte of the file that is there. */
  readonly offset: number;
}

const MAPPING =
  /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) ...(?<sharing>.) (?<offset>[0-9a-f]+) \S+ (?<inode>\d+)/;

/**
 * Whether a process shares a file at an address, as QEMU does with the file of a memory backend, which it keeps open. A
 * name proves nothing: the file that had it may have been removed.
 *
 * @returns undefined when one may not look, or there is no such process
 */
export async function isMappedBy(
  pid: number,
  file: FileIdentity,
  place: MappedPlace,
): Promise<boolean | undefined> {
  const [descriptors, maps] = await Promise.all([
    readdir(`/proc/${pid}/fd`).catch(() => undefined),
    readFile(`/proc/${pid}/maps`, 'latin1').catch(() => undefined),
  ]);
  if (descriptors === undefined || maps === undefined) return undefined;
  // The device that the kernel shows for a mapping is not that of the file on every file system; that of a descriptor is.
  return maps.split('\n').some((line) => hasMapped(line, file, place)) && isOpen(pid, descriptors, file);
}

function hasMapped(line: string, { ino }: FileIdentity, { address, offset }: MappedPlace): boolean {
  const { start, end, sharing, offset: first, inode } = MAPPING.exec(line)?.groups ?? {};
  if (sharing !== 's' || inode !== String(ino)) return false;
  const [from, to] = [Number(`0x${start}`), Number(`0x${end}`)];
  return from <= address && address < to && Number(`0x${first}`) + address - from === offset;
}

async function isOpen(
  pid: number,
  descriptors: readonly string[],
  { dev, ino }: FileIdentity,
): Promise<boolean> {
  for (const fd of descriptors) {
    const open = await stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => undefined);
    if (open?.dev === dev && open.ino === ino) return true;
  }
  return false;
}
