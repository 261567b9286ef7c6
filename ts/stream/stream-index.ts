import type { MappedRamError } from '../errors.ts';
import type { Configuration } from './configuration.ts';
import type { ByteRange } from './reader.ts';
import type { CommandRecord, MappedBlock, OpaqueRecord, SectionRecord } from './records.ts';
import type { Vmdescription } from './vmdescription/vmdescription.ts';

/** The parts of a stream and their places, without its pages. All offsets are absolute, all lengths in bytes. */
export interface StreamIndex {
  /** Offset of the stream in the source. */
  readonly base: number;
  /** Size of the source. */
  readonly size: number;
  readonly machine: string;
  readonly capabilities: readonly string[];
  /** CONFIGURATION whole: machine, capabilities and the other subsections. */
  readonly configuration: Configuration;
  /** The stream's RAM; undefined when the stream has no RAM section, or ends before its block list. */
  readonly ram: RamIndex | undefined;
  /**
   * Every section but RAM's, in file order. PARTs that follow each other, perhaps with empty PARTs of RAM between them,
   * are one entry with the identity of the first.
   */
  readonly sections: readonly IndexedSection[];
  readonly commands: readonly CommandRecord[];
  /** Offset of the byte that ends the section loop. */
  readonly eofOffset: number | undefined;
  readonly vmdescription: IndexedVmdescription | undefined;
  /** Bytes behind the stream. */
  readonly trailing: ByteRange | undefined;
  /** Everything from the first section on that cannot be measured. */
  readonly opaque: OpaqueRecord | undefined;
  /** True when EOF was reached, and nothing was wrong up to there or behind it. */
  readonly complete: boolean;
  /** The reason why the stream is not complete: the error at which the reading stopped. */
  readonly problem: MappedRamError | undefined;
}

/** The part of an index that is known as soon as RAM's block list is: the places of memory follow from it. */
export type StreamHead = Pick<StreamIndex, 'configuration' | 'commands' | 'ram'>;

/** A section other than one of RAM. */
export interface IndexedSection extends SectionRecord {
  /**
   * True for a section that is written before the guest's memory: between RAM START and RAM's next section
   * (docs/format.md §1.4).
   */
  readonly early: boolean;
}

/** The place of the vmdescription, and its content. */
export interface IndexedVmdescription {
  /** Offset of its type byte. */
  readonly offset: number;
  /** Length of the whole record. */
  readonly length: number;
  readonly jsonOffset: number;
  readonly jsonLength: number;
  /** The parsed description; undefined when it is not JSON or not a vmdescription. QEMU would not notice. */
  readonly json: Vmdescription | undefined;
}

/** RAM in one of its forms, told by `form`. */
export type RamIndex = MappedRamIndex | PlainRamIndex;

/** The facts about RAM in either form. */
export interface RamIndexBase {
  readonly sectionId: number;
  readonly targetPageSize: number;
  /** Sum of the lengths of the blocks, as the file announces it. */
  readonly total: number;
  /** Offset of the RAM START section. */
  readonly offset: number;
  /** Offset behind the footer of the RAM START section; undefined when the file ends before. */
  readonly startEnd: number | undefined;
  /** Every RAM section that was closed: START, PARTs, END. */
  readonly sections: readonly ByteRange[];
  /** True when RAM's END section was seen. */
  readonly ended: boolean;
}

/** RAM whose pages have their places in the file (docs/format.md §2). */
export interface MappedRamIndex extends RamIndexBase {
  readonly form: 'mapped-ram';
  readonly blocks: readonly MappedRamBlock[];
}

/** RAM whose pages follow each other in records (docs/format.md §3). */
export interface PlainRamIndex extends RamIndexBase {
  readonly form: 'plain';
  readonly blocks: readonly PlainRamBlock[];
  /** The number of records of each kind; a page can have several. */
  readonly pages: {
    readonly zero: number;
    readonly page: number;
    readonly xbzrle: number;
    readonly compressed: number;
  };
}

/** A block as the list of either form has it. */
export interface PlainRamBlock {
  readonly id: string;
  /** The block's used_length in bytes. */
  readonly length: number;
  /** The block's address; only x-ignore-shared brings it. */
  readonly address?: number;
  /** The block's page size; only postcopy-ram brings it. */
  readonly pageSize?: number;
}

/** A block and its place in the file. */
export interface MappedRamBlock extends PlainRamBlock, MappedBlock {
  /** Offset of the block's list entry. */
  readonly entryOffset: number;
}
