import { ProcessCopy } from '../../engine/process/process-copy.ts';
import { MappedRamError, systemCode } from '../../errors.ts';
import { mostForCopy } from '../../negotiate/capture/copy-room.ts';

/** Fewer bytes are not worth another try. */
const LEAST = 2 ** 20;
/** What the system says that has not the memory, or may not give it to this process. */
const SHORTAGES: ReadonlySet<string | undefined> = new Set(['ENOMEM', 'EAGAIN']);

/**
 * Makes room for a copy of the guest's pages. A host that has not so much to give gets asked for half of it, and so on:
 * what has no room is written in the pause. Only the size that a caller asks for is that size, or an error.
 * @param wanted bytes for which there is a use
 * @param most bytes; 0 for no copy. @default an eighth of what the host has to spare
 * @returns undefined for no copy
 * @throws {MappedRamError} as `ProcessCopy.create`
 */
export async function roomForCopy(
  wanted: number,
  most: number | undefined,
  create: (capacity: number) => Promise<ProcessCopy> = (capacity) => ProcessCopy.create(capacity),
): Promise<ProcessCopy | undefined> {
  let capacity = Math.min(Math.ceil(wanted), mostForCopy(most));
  while (capacity > 0) {
    try {
      return await create(capacity);
    } catch (error) {
      if (most !== undefined || !isShortage(error)) throw error;
    }
    capacity = capacity > LEAST ? Math.floor(capacity / 2) : 0;
  }
  return undefined;
}

function isShortage(error: unknown): boolean {
  return error instanceof MappedRamError && SHORTAGES.has(systemCode(error.cause));
}
