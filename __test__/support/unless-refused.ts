import type { ExecutionContext } from 'ava';

import type { RestoreMode } from '../../ts/restore/modes/modes.ts';

/**
 * Restores in a mode. Where QEMU asks for pages at a socket, some guests are refused: then this makes sure of that.
 * @param refusal the words of that refusal; undefined for a guest that every mode takes
 * @returns undefined for a guest that is refused
 */
export async function unlessRefused<Restored>(
  t: ExecutionContext,
  mode: RestoreMode,
  refusal: RegExp | undefined,
  restore: () => Promise<Restored>,
): Promise<Restored | undefined> {
  if (mode !== 'lazy' || refusal === undefined) return restore();
  await t.throwsAsync(restore(), { code: 'ERR_MAPPED_RAM_UNSUPPORTED', message: refusal });
  return undefined;
}
