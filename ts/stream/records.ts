import type { PageArea } from './page-area.ts';
import type { Configuration } from './configuration.ts';
import type { ByteRange } from './reader.ts';
import type { SectionKind } from './section.ts';
import type { Vmdescription } from './vmdescription/vmdescription.ts';

/** `mapped-ram`: every page has its place in the file. `plain`: pages follow each other in records. */
export type RamForm = 'mapped-ram' | 'plain';

/** Magic and version. */
export interface HeaderRecord extends ByteRange {
  readonly type: 'header';
}

/** CONFIGURATION with its subsections (docs/format.md §1.2). */
export interface ConfigurationRecord extends ByteRange {
  readonly type: 'configuration';
  readonly configuration: Configuration;
}

/** A command to the destination (docs/format.md §1.3). */
export interface CommandRecord extends ByteRange {
  readonly type: 'command';
  readonly code: number;
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * A whole section, from its type byte to the end of its footer. It comes after the records of its body (`ram-list`,
 * `ram-block`, `ram-page`): only then its length is known.
 */
export interface SectionRecord extends ByteRange {
  readonly type: 'section';
  readonly kind: SectionKind;
  readonly sectionId: number;
  readonly idstr: string;
  readonly instanceId: number;
  readonly versionId: number;
  readonly bodyOffset: number;
  readonly bodyLength: number;
  readonly footerOffset: number;
}

/** The word before RAM's block list. */
export interface RamListRecord extends ByteRange {
  readonly type: 'ram-list';
  readonly sectionId: number;
  /** Where the section that it opens starts. */
  readonly sectionOffset: number;
  readonly form: RamForm;
  /** Sum of the lengths of all blocks that are listed, in bytes. */
  readonly total: number;
  readonly targetPageSize: number;
}

/** One entry of RAM's block list, without bitmap and pages (docs/format.md §2.2). */
export interface RamBlockRecord extends ByteRange {
  readonly type: 'ram-block';
  readonly id: string;
  /** used_length of the block in bytes; `length` is the record's own. */
  readonly blockLength: number;
  /** With x-ignore-shared only. */
  readonly address?: number;
  /** Plain form with postcopy-ram only: the block's page size when it differs from the host's. */
  readonly pageSize?: number;
  /** Mapped-ram form only. */
  readonly mapped?: MappedBlock;
}

/** What a MappedRamHeader says, checked against the file (docs/format.md §2.3). Offsets are absolute. */
export interface MappedBlock {
  readonly headerOffset: number;
  readonly headerVersion: number;
  /** Both offsets are 0 when skipped. */
  readonly area: PageArea;
  /** Listed without bitmap and pages (docs/format.md §2.4). */
  readonly skipped: boolean;
}

/** One page of the plain form (docs/format.md §3). */
export interface RamPageRecord extends ByteRange {
  readonly type: 'ram-page';
  readonly kind: 'zero' | 'page' | 'xbzrle' | 'compressed';
  readonly block: string;
  /** Of the page in its block, in bytes. */
  readonly blockOffset: number;
  /** Where the page's bytes, its xbzrle delta or its zlib data lie. For a zero page: its fill byte. */
  readonly dataOffset: number;
  readonly dataLength: number;
}

/** The byte that ends the section loop. */
export interface EofRecord extends ByteRange {
  readonly type: 'eof';
}

/** The description of the device state, with its type byte and length (docs/format.md §1.5). */
export interface VmdescriptionRecord extends ByteRange {
  readonly type: 'vmdescription';
  readonly jsonOffset: number;
  readonly jsonLength: number;
  /** Parsed, when the walk needed it. */
  readonly description?: Vmdescription;
}

/** Bytes after the stream. */
export interface TrailingRecord extends ByteRange {
  readonly type: 'trailing';
}

/** Everything from a section on whose body cannot be measured, to the end of the file. */
export interface OpaqueRecord extends ByteRange {
  readonly type: 'opaque';
  readonly why: string;
}

/** A record of a stream, told by `type`. */
export type StreamRecord =
  | HeaderRecord
  | ConfigurationRecord
  | CommandRecord
  | SectionRecord
  | RamListRecord
  | RamBlockRecord
  | RamPageRecord
  | EofRecord
  | VmdescriptionRecord
  | TrailingRecord
  | OpaqueRecord;
