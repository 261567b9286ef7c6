import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { MappedRamError, systemCode } from '../errors.ts';
import { parseQmpAddress } from './address.ts';
import { timeout } from './client-errors.ts';
import { notQmp } from './foreign-peer.ts';

/** The kernel's states of a unix socket: this one for an accepted connection. */
const CONNECTED = '03';
/** The state of a connection that its server has not accepted yet. */
const CONNECTING = '02';

/** A row of /proc/net/unix: column six is the state, column eight the path. Accepted sockets have the server's path. */
const ROW = /^\S+ \S+ \S+ \S+ \S+ (?<state>\S+) +\d+ (?<path>.+)$/;

/** Makes the error for a failed connection to a QMP server. */
export function unconnected(path: string, cause: unknown): MappedRamError {
  const what = 'cannot connect to QMP';
  const context = { path, cause };
  const system = systemCode(cause);
  if (system === 'ETIMEDOUT') return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', what, context);
  if (system === 'ECONNREFUSED') {
    const why = 'nobody listens there; a QEMU that was killed leaves its socket behind';
    return new MappedRamError('ERR_MAPPED_RAM_IO', `${what}: ${why}`, context);
  }
  if (system !== 'EAGAIN') return new MappedRamError('ERR_MAPPED_RAM_IO', what, context);
  // The kernel answers so when the queue of a unix socket is full.
  return new MappedRamError('ERR_MAPPED_RAM_BUSY', `${what}: other clients wait there already`, context);
}

/**
 * Makes the error for a QMP server that accepts a connection but does not greet. The code is BUSY only if the server is
 * seen to serve another client.
 *
 * @param server an address as {@link parseQmpAddress} reads it; undefined where there is none
 * @param said what has come from there, and is no whole message
 */
export function silence(server: string | undefined, said: string): MappedRamError {
  if (server === undefined) return timeout('waiting for QMP');
  if (said !== '') return notQmp(said, server);
  const what =
    'connected, but QEMU does not greet: a QMP server serves one client at a time, and another may hold it; give QEMU a second -qmp';
  if (isHeldByAnother(server)) return new MappedRamError('ERR_MAPPED_RAM_BUSY', what, { path: server });
  const others = 'a guest agent, a gdbstub or a serial port says nothing either';
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `${what} (${others})`, { path: server });
}

/**
 * True when a QMP server is seen to serve one client while another waits: QEMU accepts one client at a time, and leaves
 * the others in the queue. Only Linux shows that, and only for a unix socket whose server was given the same path.
 */
function isHeldByAnother(server: string): boolean {
  const address = parseQmpAddress(server);
  if (!('path' in address)) return false;
  const path = resolve(address.path);
  const rows = socketTable().map((line) => ROW.exec(line)?.groups);
  const states = new Set(rows.filter((row) => row?.['path'] === path).map((row) => row?.['state']));
  return states.has(CONNECTED) && states.has(CONNECTING);
}

function socketTable(): readonly string[] {
  try {
    return readFileSync('/proc/net/unix', 'utf8').split('\n');
  } catch {
    return [];
  }
}
