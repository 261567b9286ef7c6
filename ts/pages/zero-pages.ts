import { assertWord } from '../io/option-words.ts';
import { isFirmware } from '../stream/block-names.ts';

/**
 * Checks the caller's choice of such blocks. A word that is neither is no list of ids.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertStoreZeroPages(which: 'firmware' | 'all' | readonly string[] | undefined): void {
  if (which !== undefined && !Array.isArray(which)) assertWord('storeZeroPages', which, ['firmware', 'all']);
}

/**
 * Tells whether a block's zero pages are written, too: a restore does not find firmware's memory empty (docs/format.md
 * §4.2).
 */
export function storesZeroPages(id: string, which: 'firmware' | 'all' | readonly string[]): boolean {
  if (which === 'all') return true;
  return which === 'firmware' ? isFirmware(id) : which.includes(id);
}
