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
 * A whole section, from its type byte to the end of its footer. The record comes after the records of the section's
 * body (`ram-list`, `ram-block`, `ram-page`): only then its length is known.
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
  /** Offset of the section that the word opens. */
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
  /** The block's address; only x-ignore-shared brings it. */
  readonly address?: number;
  /** The block's page size when it differs from the host's; only the plain form with postcopy-ram brings it. */
  readonly pageSize?: number;
  /** The block's place in the file; the mapped-ram form only. */
  readonly mapped?: MappedBlock;
}

/** The contents of a MappedRamHeader, checked against the file (docs/format.md §2.3). Offsets are absolute. */
export interface MappedBlock {
  readonly headerOffset: number;
  readonly headerVersion: number;
  /** The block's area; both offsets are 0 when skipped. */
  readonly area: PageArea;
  /** True for a block that is listed without bitmap and pages (docs/format.md §2.4). */
  readonly skipped: boolean;
}

/** One page of the plain form (docs/format.md §3). */
export interface RamPageRecord extends ByteRange {
  readonly type: 'ram-page';
  readonly kind: 'zero' | 'page' | 'xbzrle' | 'compressed';
  readonly block: string;
  /** Offset of the page in its block, in bytes. */
  readonly blockOffset: number;
  /** Offset of the page's bytes, of its xbzrle delta or of its zlib data. A zero page has its fill byte there. */
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
  /** The parsed description, when the walk needed it. */
  readonly description?: Vmdescription;
}

/** Bytes after the stream. */
export interface TrailingRecord extends ByteRange {
  readonly type: 'trailing';
}

/** Everything from the first section on whose body cannot be measured, up to the vmdescription or the end of the file. */
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
