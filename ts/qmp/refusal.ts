import { MappedRamError } from '../errors.ts';
import type { QmpErrorReply } from './message.ts';

/** Whether an error is QEMU's answer to a command, as opposed to the connection's end. */
export function isQmpRefusal(error: unknown): error is MappedRamError & { readonly cause: QmpErrorReply } {
  if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_QEMU') return false;
  const { cause } = error;
  return typeof cause === 'object' && cause !== null && 'class' in cause && 'desc' in cause;
}
