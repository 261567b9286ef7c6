import type { FdAccess } from '../../host/fd-access.ts';
import type { MigrationAddress } from '../../uri/migration-address.ts';
import type { Situation } from '../rule.ts';

/** Whether a descriptor of the caller's is what QEMU looks for in a set. */
export function isOpenFor({ request }: Situation, { mode, direct }: FdAccess, wantDirect: boolean): boolean {
  return direct === wantDirect && mode === (request.direction === 'save' ? 'write' : 'read');
}

/** A transport as URIs begin: `tcp:`, `exec:`. */
export function transportOf(address: MigrationAddress): string {
  return `${address.transport === 'socket' ? address.type : address.transport}:`;
}
