import { SAVE_FORMS, type SaveForm } from '../../negotiate/request.ts';
import type { SaveOptions } from '../../save/save-options.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import { choice, type OptionDef, type WordOption } from './option-def.ts';
import { parseSize } from './parse-size.ts';

const group = 'Incremental saves';

/** The options of saves that take the guest out of QEMU's process, and write only what differs from a base. */
export const CAPTURE_OPTIONS: Readonly<Record<'incremental' | 'base' | 'max-copy-memory', OptionDef>> & {
  readonly form: OptionDef & WordOption<SaveForm | 'auto'>;
} = {
  incremental: {
    type: 'boolean',
    description:
      'Write only the pages that differ from the snapshot that the guest is a clone of, whichever that is',
    group,
  },
  base: {
    type: 'string',
    valueHint: 'file',
    description:
      'The same, from this snapshot: it has to be the file that QEMU has mapped, or the save is refused',
    group,
  },
  form: {
    ...choice('auto', ...SAVE_FORMS),
    description:
      "whole needs no base: it shares the blocks of the base's file (XFS, btrfs, bcachefs); delta has only the changed pages, and needs the base (default: auto, whole where the filesystem can)",
    group,
  },
  'max-copy-memory': {
    type: 'string',
    valueHint: 'S',
    description:
      "The most memory for a copy of the guest's pages, which are then written while the guest goes on; those without room are written in the pause (default: an eighth of the free memory)",
    group,
  },
};

/** @throws {UsageError} */
export function captureOptions(
  line: CommandLine<typeof CAPTURE_OPTIONS>,
): Pick<SaveOptions, 'base' | 'form' | 'maxCopyMemory'> {
  const path = line.value('base');
  const form = line.value('form');
  const copy = line.value('max-copy-memory');
  const isIncremental = line.flag('incremental') || path !== undefined;
  if (!isIncremental && form === 'delta') {
    throw new UsageError('--form delta needs --incremental or --base: a delta stands on a base');
  }
  return {
    base: path === undefined ? (isIncremental ? 'auto' : undefined) : asPath(path),
    form,
    maxCopyMemory: copy === undefined ? undefined : parseSize('--max-copy-memory', copy),
  };
}

/** A name that is a word of the API is meant as a file's name here. */
function asPath(path: string): string {
  return path === 'auto' || path === 'none' ? ['.', path].join('/') : path;
}
