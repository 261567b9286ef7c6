import { fileTargetOf } from '../../io/file-target.ts';
import type { SnapshotSource } from '../../snapshot/snapshot-source.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef } from './option-def.ts';

/** The option about the base of a delta, for commands that read snapshots. */
export const BASE_OPTION: Readonly<Record<'base', OptionDef>> = {
  base: {
    type: 'string',
    valueHint: 'file',
    description: 'Of a delta: where its base is (default: beside the delta, or where it was)',
  },
};

/**
 * Makes the source out of a snapshot's path or URI, and the path or URI of its base, if the line has one.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI, ERR_MAPPED_RAM_UNSUPPORTED
 */
export function sourceWithBase(line: CommandLine<typeof BASE_OPTION>, uri: string): SnapshotSource {
  return sourceOver(uri, line.value('base'));
}

/**
 * Makes the source out of the path or URI of a snapshot and of its base.
 * @param base undefined for one that the snapshot names itself
 * @throws {MappedRamError} as {@link sourceWithBase}
 */
export function sourceOver(uri: string, base: string | undefined): SnapshotSource {
  if (base === undefined) return uri;
  const { filename: path, offset } = fileTargetOf(uri);
  return { path, offset, base };
}
