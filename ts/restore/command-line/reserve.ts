import { totalmem } from 'node:os';

import { overcommitPolicy } from '../../host/limits.ts';

/**
 * Returns the member of a memory object without which the host would refuse private memory of that many bytes: nobody
 * means to fill it. A host with strict accounting (policy 2) reserves memory for every mapping, and QEMU refuses to ask
 * otherwise.
 */
export function reserveFor(bytes: number): readonly (readonly [string, string])[] {
  return bytes > totalmem() && overcommitPolicy() !== 'strict' ? [['reserve', 'off']] : [];
}
