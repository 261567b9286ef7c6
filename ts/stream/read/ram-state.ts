import { CAPABILITY_IGNORE_SHARED, CAPABILITY_MAPPED_RAM } from '../constants.ts';
import type { Configuration } from '../configuration.ts';
import type { RamForm } from '../records.ts';
import { RangeSet } from '../range-set.ts';

/** The walk's memory of RAM between its sections. It grows with the number of blocks only. */
export interface RamState {
  readonly form: RamForm;
  /** True when block entries carry an address (docs/format.md §2.2, §10). */
  readonly addresses: boolean;
  readonly sectionId: number;
  /** In bytes. A reader of a pipe knows it only when it sees the first pages. */
  targetPageSize: number;
  /** used_length of each block listed. */
  readonly lengths: Map<string, number>;
  /** Block entries, bitmaps and page areas: none may overlap another. */
  readonly taken: RangeSet;
  /** The block that CONTINUE means; it outlives sections (docs/format.md §3). */
  lastBlock: string | undefined;
}

export function newRamState(
  configuration: Configuration,
  sectionId: number,
  targetPageSize: number,
): RamState {
  const { capabilities } = configuration;
  return {
    form: capabilities.includes(CAPABILITY_MAPPED_RAM) ? 'mapped-ram' : 'plain',
    addresses: capabilities.includes(CAPABILITY_IGNORE_SHARED),
    sectionId,
    targetPageSize,
    lengths: new Map(),
    taken: new RangeSet(),
    lastBlock: undefined,
  };
}
