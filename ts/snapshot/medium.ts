import { truncate } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import { filesystemOf, freeBytesIn } from '../host/filesystem.ts';
import { fileSizeLimit } from '../host/limits.ts';
import { resizeError } from '../io/fd-io.ts';

/** The filesystems that keep zeros in the place of holes. */
const WITHOUT_HOLES: ReadonlySet<string | undefined> = new Set(['vfat', 'exfat', 'hfsplus']);
/** The longest files in bytes, by filesystem; other filesystems say so themselves. */
const LONGEST_FILES: ReadonlyMap<string | undefined, number> = new Map([['vfat', 2 ** 32 - 1]]);

/** The demands of a snapshot on the place where it is to be, in bytes. */
export interface Demand {
  /** Length of the file, with its holes. */
  readonly length: number;
  /** The most bytes that can be written into it; Infinity where nobody knows. */
  readonly mostData: number;
  /** Finds bytes that are written in any case; may stop counting when there are more than `enough`. */
  readonly leastData: (enough: number) => Promise<number>;
  /** The processes that write into the file, beside this one. */
  readonly writers: readonly number[];
}

/**
 * Refuses a medium that cannot hold a snapshot, as far as that is known before the first byte: by its free space, the
 * longest file that it has, and the limits of the processes that write. A save may still fill it: how much of a guest's
 * memory is zero shows when it is read.
 * @param partial a new file on the medium, which gets the length
 * @param path the name in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; `cause.code` is `ENOSPC`, `EFBIG` or what the filesystem says
 */
export async function assertHolds(partial: string, path: string, demand: Demand): Promise<void> {
  const { length, mostData, writers } = demand;
  for (const pid of ['self', ...writers] as const) {
    const limit = await fileSizeLimit(pid);
    if (length <= limit) continue;
    // A process that writes more is killed by SIGXFSZ.
    const who = pid === 'self' ? 'this process' : `process ${pid}`;
    throw tooSmall(`${who} may not write such long files (ulimit -f)`, path, 'EFBIG', length, limit);
  }
  const type = (await filesystemOf(partial))?.type;
  const free = await freeBytesIn(partial);
  // Finding out may take a moment, and mostly there is room for everything.
  const leastData = free >= mostData ? 0 : await demand.leastData(free);
  assertFits({ type, free }, path, { length, leastData });
  // The filesystem itself knows the rest: its longest file, and perhaps a quota. Without holes it would write zeros.
  if (WITHOUT_HOLES.has(type)) return;
  await truncate(partial, length).catch((cause: unknown) => {
    throw resizeError(length, path, cause);
  });
}

/** The facts about a filesystem that a snapshot has to fit. */
interface Room {
  /** Its type, when it is known by name. */
  readonly type: string | undefined;
  /** Bytes left. */
  readonly free: number;
}

/**
 * Compares a filesystem with the bytes that a snapshot takes.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export function assertFits(
  { type, free }: Room,
  path: string,
  { length, leastData }: { readonly length: number; readonly leastData: number },
): void {
  const longest = LONGEST_FILES.get(type) ?? Number.POSITIVE_INFINITY;
  if (length > longest) {
    throw tooSmall(`${type} has no such long files`, path, 'EFBIG', length, longest);
  }
  const hasHoles = !WITHOUT_HOLES.has(type);
  const needed = hasHoles ? leastData : length;
  if (free >= needed) return;
  const why = hasHoles ? '' : `: ${type} has no holes, and zero pages take room, too`;
  throw tooSmall(`too little room for the snapshot${why}`, path, 'ENOSPC', needed, free);
}

function tooSmall(words: string, path: string, code: string, needed: number, found: number): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_IO', words, {
    path,
    expected: `${needed} bytes`,
    found: `${found} bytes`,
    cause: Object.assign(new Error(CAUSES[code]), { code }),
  });
}

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on device',
  EFBIG: 'file too large',
};
