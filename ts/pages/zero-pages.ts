import { isPcFlash } from '../stream/block-names.ts';

/**
 * Tells whether a block's zero pages are written, too: a restore does not find firmware's memory empty (docs/format.md
 * §4.2).
 */
export function storesZeroPages(id: string, which: 'firmware' | 'all' | readonly string[]): boolean {
  if (which === 'all') return true;
  return which === 'firmware' ? isPcFlash(id) : which.includes(id);
}
