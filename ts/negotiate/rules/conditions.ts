import type { FdAccess } from '../../host/fd-access.ts';
import type { MigrationAddress } from '../../uri/migration-address.ts';
import type { Situation } from '../rule.ts';

/** True when a descriptor in the caller's set is one that QEMU looks for. */
export function isOpenFor({ request }: Situation, { mode, direct }: FdAccess, wantDirect: boolean): boolean {
  return direct === wantDirect && mode === (request.direction === 'save' ? 'write' : 'read');
}

/** The transport's prefix in URIs: `tcp:`, `exec:`. */
export function transportOf(address: MigrationAddress): string {
  return `${address.transport === 'socket' ? address.type : address.transport}:`;
}
