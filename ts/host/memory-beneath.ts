import { readdirSync, readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

import { fdAccess } from './fd-access.ts';
import { identityOf, isSameFile } from './file-identity.ts';

/** A file that lies beneath a range of a process's memory. */
export interface FileBeneath {
  /** The file's name as the kernel has it, with ` (deleted)` behind it when the name is gone. */
  readonly name: string;
  readonly ino: bigint;
  /** The file's device, as `major:minor` in hexadecimal digits; not on every filesystem the one that stat has. */
  readonly device: string;
  /** Offset in the file, in bytes, of what is mapped at the start of the range. */
  readonly offset: number;
  /** The mapping, as /proc/PID/map_files names it. */
  readonly link: string;
}

/**
 * The memory beneath a range of a process's address space.
 * - `anonymous`: pages that nobody has written do not exist, and read as zeros.
 * - `private`: such pages show the file; pages that were written do not reach it.
 * - `shared`: the pages are the file's.
 */
export type MemoryBeneath =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'private' | 'shared'; readonly file: FileBeneath };

/** A range of a process's address space, in bytes. */
interface AddressRange {
  readonly address: number;
  readonly length: number;
}

interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly beneath: MemoryBeneath;
}

const LINE =
  /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) ...(?<sharing>.) (?<offset>[0-9a-f]+) (?<device>\S+) (?<inode>\d+) *(?<name>.*)$/;

/**
 * Looks at what lies beneath ranges of a process's address space.
 * @returns one entry a range, undefined for a range that is not mapped whole, or not out of one piece; undefined when
 *   this process may not look, or there is no such process
 */
export function memoryBeneath(
  pid: number,
  ranges: readonly AddressRange[],
): readonly (MemoryBeneath | undefined)[] | undefined {
  const maps = mapsOf(pid);
  if (maps === undefined || maps === '') return undefined;
  const stretches: Stretch[] = [];
  for (const line of maps.split('\n')) {
    const stretch = isNear(line, ranges) ? stretchOf(line) : undefined;
    if (stretch !== undefined) stretches.push(stretch);
  }
  return ranges.map((range) => beneathOf(range, stretches));
}

/** The lowest address at which a process has something mapped; undefined when this process may not look. */
export function firstMapping(pid: number): number | undefined {
  const start = Number.parseInt(mapsOf(pid) ?? '', 16);
  return Number.isNaN(start) ? undefined : start;
}

/**
 * Opens a file that lies beneath the memory of a process, for reading, whatever became of its name.
 * @returns undefined when this process may not, or the file is gone from that process
 */
export async function openBeneath(pid: number, file: FileBeneath): Promise<FileHandle | undefined> {
  // Only the privileged may follow these links.
  const linked = await open(`/proc/${pid}/map_files/${file.link}`, 'r').catch(() => undefined);
  if (linked !== undefined) return linked;
  for (const fd of descriptorsOf(pid, file)) {
    const handle = await open(`/proc/${pid}/fd/${fd}`, 'r').catch(() => undefined);
    if (handle !== undefined) return handle;
  }
  return undefined;
}

/**
 * Tells whether a process may change a file that lies beneath its memory: it gives pages back by punching holes into it.
 * @returns true also where that is not seen
 */
export async function mayChangeBeneath(pid: number, file: FileBeneath): Promise<boolean> {
  const found = descriptorsOf(pid, file);
  const accesses = await Promise.all(found.map((fd) => fdAccess(pid, fd)));
  return found.length === 0 || accesses.some((access) => access?.mode !== 'read');
}

/** The descriptors that a process has of a file beneath its memory. */
function descriptorsOf(pid: number, { ino, device, name }: FileBeneath): readonly number[] {
  const directory = `/proc/${pid}/fd`;
  const named = identityOf(name);
  return list(directory).flatMap((fd) => {
    const found = identityOf(`${directory}/${fd}`);
    if (found?.ino !== ino) return [];
    const isIt = deviceOf(found.dev) === device || (named !== undefined && isSameFile(found, named));
    return isIt ? [Number(fd)] : [];
  });
}

/** Writes a device number as maps has it, split as the kernel does (makedev(3)). */
function deviceOf(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return [major, minor].map((part) => part.toString(16).padStart(2, '0')).join(':');
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** A guest may stand still for this, and the kernel answers out of memory: no thread of the pool is waited for. */
function mapsOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8');
  } catch {
    return undefined;
  }
}

/** Tells whether a line's stretch meets one of the ranges. QEMU has hundreds of others, which need not be parsed. */
function isNear(line: string, ranges: readonly AddressRange[]): boolean {
  const [start, end] = [Number.parseInt(line, 16), Number.parseInt(line.slice(line.indexOf('-') + 1), 16)];
  return ranges.some(({ address, length }) => start < address + length && address < end);
}

/** The one kind of memory that a range consists of. */
function beneathOf(
  { address, length }: AddressRange,
  stretches: readonly Stretch[],
): MemoryBeneath | undefined {
  const end = address + length;
  const parts = stretches.filter((stretch) => stretch.start < end && address < stretch.end);
  const [first] = parts;
  if (first === undefined || first.start > address) return undefined;
  let reached = first.start;
  for (const { start, end: next, beneath } of parts) {
    if (start !== reached || !goesOn(first, beneath, start)) return undefined;
    reached = next;
  }
  if (reached < end) return undefined;
  const { beneath } = first;
  if (beneath.kind === 'anonymous') return beneath;
  return { ...beneath, file: { ...beneath.file, offset: beneath.file.offset + address - first.start } };
}

/** Tells whether a stretch is the same memory as the first one, further on: the kernel splits mappings. */
function goesOn({ start: from, beneath: first }: Stretch, beneath: MemoryBeneath, start: number): boolean {
  if (first.kind === 'anonymous' || beneath.kind === 'anonymous') return first.kind === beneath.kind;
  const [one, other] = [first.file, beneath.file];
  return (
    first.kind === beneath.kind &&
    one.ino === other.ino &&
    one.device === other.device &&
    other.offset - one.offset === start - from
  );
}

function stretchOf(line: string): Stretch | undefined {
  const groups = LINE.exec(line)?.groups;
  if (groups === undefined) return undefined;
  const { start = '', end = '', sharing, offset = '', device = '', inode = '', name = '' } = groups;
  const [from, to] = [Number(`0x${start}`), Number(`0x${end}`)];
  const ino = BigInt(inode);
  if (sharing === 'p' && ino === 0n) return { start: from, end: to, beneath: { kind: 'anonymous' } };
  const link = `${from.toString(16)}-${to.toString(16)}`;
  // A name with a newline would end the line, so the kernel writes that one character in digits.
  const written = name.replaceAll(String.raw`\012`, '\n');
  const file = { name: written, ino, device, offset: Number(`0x${offset}`), link };
  return { start: from, end: to, beneath: { kind: sharing === 's' ? 'shared' : 'private', file } };
}
