import { MappedRamError } from '../errors.ts';
import { binding, toMappedRamError } from './binding.ts';

/** A reader that maps a snapshot takes `shared`, a writer takes `exclusive`, and `none` gives the lock up. */
export type FileLock = 'shared' | 'exclusive' | 'none';

/**
 * Locks a snapshot against the other kind of use by this package. The lock is advisory (flock): it keeps nobody else
 * from anything. The lock belongs to the open file behind the descriptor and its duplicates, in whichever process: it
 * ends when the last one is closed. There is no lock where the filesystem knows none.
 *
 * @returns whether there is a lock now
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when the file is in use (`cause.code` is `EWOULDBLOCK`);
 *   ERR_MAPPED_RAM_IO when the system refuses for another reason
 */
export function lockFile(fd: number, lock: FileLock, path: string): boolean {
  const { error, locked } = binding().lockFile(fd, lock);
  if (error) throw toMappedRamError({ ...error, path });
  if (locked !== 'busy') return locked === 'yes';
  const words =
    lock === 'exclusive'
      ? 'the file cannot be written in place: guests run from it'
      : 'the file is being written';
  throw new MappedRamError('ERR_MAPPED_RAM_BUSY', words, { path, cause: busy() });
}

function busy(): Error {
  return Object.assign(new Error('the file is locked'), { code: 'EWOULDBLOCK', syscall: 'flock' });
}
