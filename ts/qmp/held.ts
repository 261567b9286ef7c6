import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { parseQmpAddress } from './address.ts';

/** The kernel's states of a unix socket. */
const CONNECTED = '03';
/** A connection that its server has not accepted yet. */
const CONNECTING = '02';

/** A row of /proc/net/unix: the state is the sixth column, the path the eighth. Accepted sockets have the server's path. */
const ROW = /^\S+ \S+ \S+ \S+ \S+ (?<state>\S+) +\d+ (?<path>.+)$/;

/**
 * Whether a QMP server is seen to serve another client, while one waits: QEMU accepts one client at a time, and leaves
 * the others in the queue. Only Linux shows that, and only of a unix socket whose server was given the same path.
 *
 * @param server an address as {@link parseQmpAddress} reads it
 */
export function isHeldByAnother(server: string): boolean {
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
