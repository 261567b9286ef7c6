import type { PackOptions } from '../../pack/pack-options.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef } from '../command.ts';

export const STORE_ZERO_PAGES: OptionDef = {
  type: 'string',
  valueHint: 'firmware|all|ids',
  description:
    'Blocks whose zero pages are written too, because a restore does not find their memory empty; ids with commas between them (default: firmware)',
};

export function storeZeroPages(line: CommandLine): PackOptions['storeZeroPages'] {
  const which = line.value('store-zero-pages');
  if (which === undefined || which === 'firmware' || which === 'all') return which;
  return which.split(',');
}
