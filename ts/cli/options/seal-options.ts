import type { SealingOptions } from '../../seal/sealing.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDefs } from '../command.ts';
import { UsageError } from '../usage-error.ts';

/** Of the commands that write snapshots. */
export const SEAL_OPTIONS: OptionDefs = {
  seal: { type: 'boolean', description: 'Write a seal, too, which mapped-ram verify checks against' },
  'seal-file': {
    type: 'string',
    valueHint: 'file',
    description: 'With --seal: where it goes (default: the path of the snapshot and .seal)',
  },
};

/** @throws {UsageError} when there is a place for a seal and no seal */
export function sealOptions(line: CommandLine): Pick<SealingOptions, 'seal' | 'sealPath'> {
  const [seal, sealPath] = [line.flag('seal'), line.value('seal-file')];
  if (sealPath !== undefined && !seal) throw new UsageError('--seal-file says where --seal puts the seal');
  return { seal, sealPath };
}
