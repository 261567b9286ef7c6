import { connect, type Socket } from 'node:net';

import { MappedRamError } from '../errors.ts';
import { deferred } from '../host/deferred.ts';
import { type WaitOptions, waitWithin } from '../host/wait-within.ts';
import { parseQmpAddress } from './address.ts';
import { timeout } from './client-errors.ts';
import { unconnected } from './connect-errors.ts';

/**
 * Connects a socket to a QMP server.
 * @param server an address as {@link parseQmpAddress} reads it
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when nobody listens there, ERR_MAPPED_RAM_BUSY when other clients fill the
 *   server's queue, ERR_MAPPED_RAM_TIMEOUT, ERR_MAPPED_RAM_INVALID_ARGUMENT for a text that is no address
 */
export async function connectSocket(server: string, wait: WaitOptions): Promise<Socket> {
  const socket = connect(parseQmpAddress(server));
  const connected = deferred<void>();
  socket.once('connect', connected.resolve).once('error', connected.reject);
  try {
    await waitWithin(connected.promise, wait, () => timeout('connecting to QEMU'));
    return socket;
  } catch (cause) {
    socket.destroy();
    if (wait.signal?.aborted === true || cause instanceof MappedRamError) throw cause;
    throw unconnected(server, cause);
  }
}
