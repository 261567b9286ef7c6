import type { SealingOptions } from '../../seal/sealing.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef } from './option-def.ts';

/** The options about seals, for commands that write snapshots. */
export const SEAL_OPTIONS: Readonly<Record<'seal' | 'seal-file', OptionDef>> = {
  seal: { type: 'boolean', description: 'Also write a seal, against which mapped-ram verify checks' },
  'seal-file': {
    type: 'string',
    valueHint: 'file',
    description: 'With --seal: where it goes (default: the path of the snapshot and .seal)',
  },
};

/** @throws {UsageError} when --seal-file names a place and --seal is missing */
export function sealOptions(
  line: CommandLine<typeof SEAL_OPTIONS>,
): Pick<SealingOptions, 'seal' | 'sealPath'> {
  const [seal, sealPath] = [line.flag('seal'), line.value('seal-file')];
  if (sealPath !== undefined && !seal)
    throw new UsageError('--seal-file says where --seal puts the seal: add --seal');
  return { seal, sealPath };
}
