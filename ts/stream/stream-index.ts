import type { MappedRamError } from '../errors.ts';
import type { Configuration } from './configuration.ts';
import type { ByteRange } from './reader.ts';
import type { CommandRecord, MappedBlock, OpaqueRecord, SectionRecord } from './records.ts';
import type { Vmdescription } from './vmdescription/vmdescription.ts';

/** What a stream holds and where, without its pages. All offsets are absolute, all lengths in bytes. */
export interface StreamIndex {
  /** Where the stream starts in the source. */
  readonly base: number;
  /** Size of the source. */
  readonly size: number;
  readonly machine: string;
  readonly capabilities: readonly string[];
  /** CONFIGURATION whole: machine, capabilities and the other subsections. */
  readonly configuration: Configuration;
  /** Undefined when the stream has no RAM section, or ends before its block list. */
  readonly ram: RamIndex | undefined;
  /** Every section but RAM's, in file order. */
  readonly sections: readonly IndexedSection[];
  readonly commands: readonly CommandRecord[];
  /** Where the byte is that ends the section loop. */
  readonly eofOffset: number | undefined;
  readonly vmdescription: IndexedVmdescription | undefined;
  /** Bytes behind the stream. */
  readonly trailing: ByteRange | undefined;
  /** From a section on that cannot be measured. */
  readonly opaque: OpaqueRecord | undefined;
  /** EOF was reached, and nothing was wrong up to there or behind it. */
  readonly complete: boolean;
  /** Why it is not complete: what reading stopped at. */
  readonly problem: MappedRamError | undefined;
}

/** A section other than one of RAM. */
export interface IndexedSection extends SectionRecord {
  /** Written before the guest's memory: between RAM START and RAM's next section (docs/format.md §1.4). */
  readonly early: boolean;
}

/** Where the vmdescription is, and what it says. */
export interface IndexedVmdescription {
  /** Of its type byte. */
  readonly offset: number;
  /** Of the whole record. */
  readonly length: number;
  readonly jsonOffset: number;
  readonly jsonLength: number;
  /** Undefined when it is not JSON or not a vmdescription; QEMU would not notice. */
  readonly json: Vmdescription | undefined;
}

/** RAM in one of its forms, told by `form`. */
export type RamIndex = MappedRamIndex | PlainRamIndex;

/** What is known of RAM in either form. */
export interface RamIndexBase {
  readonly sectionId: number;
  readonly targetPageSize: number;
  /** Sum of the lengths of the blocks, as the file announces it. */
  readonly total: number;
  /** Of the RAM START section. */
  readonly offset: number;
  /** Behind the footer of the RAM START section; undefined when the file ends before. */
  readonly startEnd: number | undefined;
  /** Every RAM section that was closed: START, PARTs, END. */
  readonly sections: readonly ByteRange[];
  /** Whether RAM's END section was seen. */
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
  /** How many records of each kind there are; a page can have several. */
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
  /** used_length. */
  readonly length: number;
  /** With x-ignore-shared only. */
  readonly address?: number;
  /** With postcopy-ram only. */
  readonly pageSize?: number;
}

/** A block and its place in the file. */
export interface MappedRamBlock extends PlainRamBlock, MappedBlock {
  /** Of its list entry. */
  readonly entryOffset: number;
}
