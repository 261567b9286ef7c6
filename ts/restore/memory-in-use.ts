import { MappedRamError } from '../errors.ts';
import { identityOf } from '../host/file-identity.ts';
import { findUsers, type KnownProcess } from '../host/file-users.ts';
import { pathInProcess } from '../host/path-in-process.ts';
import { sharesFile } from '../host/process-mappings.ts';
import { descendantsOf } from '../host/process-tree.ts';

/** A file that QEMU has as the memory of a block, and that it is going to load the snapshot's pages over. */
export interface MemoryFileOfBlock {
  readonly id: string;
  /** True when QEMU shares it, so that what it writes there others read; false when it maps the file privately. */
  readonly isShared: boolean;
  /** The path, as QEMU means it. */
  readonly path: string;
}

/** The QEMU that may use the files. */
export interface ExpectedQemu {
  /** True when QEMU has started, and so has the files open itself. */
  readonly runs: boolean;
  /** QEMU's process, when it is known. */
  readonly pid: number | undefined;
}

/** Programs that are likely to hold a guest's memory. The name decides only about a warning. */
const LIKELY = /^(?:qemu|kvm)/;

/**
 * Refuses to let QEMU write into memory that somebody else uses: that would overwrite the memory of a guest that runs. A
 * private mapping overwrites nothing, but shows what others write into pages that QEMU has left as they were.
 *
 * @returns doubts in words
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY naming the file and each process that has it open or mapped
 */
export async function refuseMemoryInUse(
  files: readonly MemoryFileOfBlock[],
  { runs, pid }: ExpectedQemu,
): Promise<readonly string[]> {
  const warnings: string[] = [];
  const except = new Set([process.pid, ...(pid === undefined ? [] : [pid, ...descendantsOf(pid)])]);
  for (const { id, path, isShared } of files) {
    const seen = pathInProcess(pid, path);
    // A file that is not there yet has no users. QEMU makes one without a name in a directory.
    const identity = seen === undefined ? undefined : identityOf(seen);
    if (identity === undefined) {
      if (runs) warnings.push(`whether somebody else uses ${path}, the memory of ${id}, could not be seen`);
      continue;
    }
    const { users, closed } = await findUsers(identity, except, isShared ? undefined : sharesFile);
    // One of them is QEMU itself, when nothing tells which.
    const own = isShared && runs && pid === undefined ? 1 : 0;
    if (users.length > own) throw isShared ? inUse(id, path, users) : written(id, path, users);
    const likely = [...users, ...closed.filter(({ program }) => LIKELY.test(program))];
    if (likely.length > 0) warnings.push(doubt(id, path, likely, isShared));
  }
  return warnings;
}

function inUse(id: string, path: string, users: readonly KnownProcess[]): MappedRamError {
  const [verb, them] = users.length === 1 ? ['uses', 'that process'] : ['use', 'those processes'];
  return new MappedRamError(
    'ERR_MAPPED_RAM_BUSY',
    `QEMU would write the memory of ${id} into a file that ${inWords(users)} ${verb}: give QEMU another file, or end ${them}`,
    { path },
  );
}

function written(id: string, path: string, users: readonly KnownProcess[]): MappedRamError {
  const [verb, them] = users.length === 1 ? ['shares', 'that process'] : ['share', 'those processes'];
  return new MappedRamError(
    'ERR_MAPPED_RAM_BUSY',
    `QEMU would have as memory of ${id} a private mapping of a file that ${inWords(users)} ${verb}, and the guest would see what is written there: give QEMU another file, or end ${them}`,
    { path },
  );
}

function doubt(id: string, path: string, others: readonly KnownProcess[], isShared: boolean): string {
  if (!isShared) {
    return `QEMU has ${path} privately as the memory of ${id}; whether ${inWords(others)} writes into it could not be seen`;
  }
  return `QEMU writes the memory of ${id} into ${path}; whether ${inWords(others)} shares it could not be seen`;
}

function inWords(processes: readonly KnownProcess[]): string {
  return processes.map(({ pid, program }) => `process ${pid} (${program})`).join(', ');
}
