import { MappedRamError } from '../../errors.ts';

const lost = new WeakSet<MappedRamError>();

/** The error for a QEMU that is lost, because its source of memory ended before the guest ran. */
export function lostBeforeRun(cause: unknown): MappedRamError {
  const words = 'the server of the memory ended before the guest ran';
  const error = new MappedRamError('ERR_MAPPED_RAM_CLOSED', words, { cause });
  lost.add(error);
  return error;
}

/** Tells whether a restore failed for that reason, so that another QEMU can try anew. */
export function isLostBeforeRun(error: unknown): boolean {
  return error instanceof MappedRamError && lost.has(error);
}
