import { MappedRamError } from '../errors.ts';

/** Makes the error for a pool whose QEMUs fail again and again. @param cause the last failure */
export function hopeless(failures: number, cause: Error | undefined): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_QEMU',
    `the pool has no guest: its QEMUs have failed to start, or have died, ${failures} times in a row`,
    { cause },
  );
}

/** Makes the error for a guest that does not come in time. @param heldBack why no QEMU is started, in words */
export function late(heldBack: string | undefined): MappedRamError {
  const why = heldBack === undefined ? '' : `; none is started, because ${heldBack}`;
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `the pool had no guest in time${why}`);
}

/** Makes the error for the use of a pool that is closed. */
export function closed(): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the pool is closed');
}
