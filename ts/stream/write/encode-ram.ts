import { ByteWriter } from './byte-writer.ts';
import { encodeConfiguration, encodeFileHeader, type Configuration } from '../configuration.ts';
import {
  CAPABILITY_IGNORE_SHARED,
  DEFAULT_TARGET_PAGE_SIZE,
  MAPPED_RAM_HEADER_VERSION,
  RAM_FLAG,
  RAM_IDSTR,
  RAM_INSTANCE,
  RAM_SECTION_ID,
  RAM_VERSION,
} from '../constants.ts';
import {
  assertBlocks,
  layoutMappedRam,
  type MappedBlockLayout,
  type MappedRamLayout,
  type RamBlock,
} from './layout.ts';
import { encodeFooter, encodeSectionContinuation, encodeSectionHeader } from '../section.ts';
import { targetPageSizeIn } from '../target-page-size.ts';
import { encodeName } from '../text.ts';

/** Bytes and the absolute file offset they belong at. */
interface Segment {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The beginning of a stream up to RAM's block list, common to both forms. */
interface RamStartOptions {
  /** `capabilities` decides about addresses; the caller puts `mapped-ram` in. */
  readonly configuration: Configuration;
  readonly blocks: readonly RamBlock[];
  /** The section id. Default 1. */
  readonly sectionId?: number;
  /** Size of a target page in bytes. Default what `configuration` says, else 4096. */
  readonly targetPageSize?: number;
  /** Whole records (commands) between CONFIGURATION and RAM. Default none. */
  readonly records?: Uint8Array;
}

export interface PlainRamStartOptions extends RamStartOptions {
  /** Each with the page size of its memory in bytes, where a postcopy migration has to name it (docs/format.md §14.1). */
  readonly blocks: readonly (RamBlock & { readonly pageSize?: number })[];
}

export interface MappedRamStartOptions extends RamStartOptions {
  /** Offset of the stream in the file, in bytes. Default 0. */
  readonly base?: number;
  /** Alignment of page areas in bytes. Default 1 MiB. */
  readonly alignment?: number;
}

export interface MappedRamStart {
  readonly layout: MappedRamLayout;
  /** The segments in file order: the beginning, one per further block, EOS and footer. Never a bitmap or a page. */
  readonly segments: readonly Segment[];
  /** Offset of the next record: right after the footer. */
  readonly endOffset: number;
}

/**
 * Encodes header, CONFIGURATION and the RAM START section of a mapped-ram file, as positional writes (docs/format.md
 * §2). The gaps between the segments — bitmaps, padding, pages — are the caller's and may be holes.
 * @throws {MappedRamError} as `layoutMappedRam` and `encodeConfiguration`
 */
export function encodeMappedRamStart(options: MappedRamStartOptions): MappedRamStart {
  const { configuration, base = 0, sectionId = RAM_SECTION_ID } = options;
  const addresses = configuration.capabilities.includes(CAPABILITY_IGNORE_SHARED);
  const targetPageSize = pageSizeOf(options);
  const head = encodeBeginning(options, assertBlocks(options.blocks, targetPageSize));
  const layout = layoutMappedRam({
    base,
    headerBytes: head.length,
    blocks: options.blocks,
    addresses,
    targetPageSize,
    ...(options.alignment === undefined ? {} : { alignment: options.alignment }),
  });
  const entries = layout.blocks.map((block) => ({
    offset: block.entryOffset,
    bytes: encodeMappedBlockEntry(block, { addresses, targetPageSize }),
  }));
  const tail = { offset: layout.endOffset, bytes: encodeRamEos(sectionId) };
  return {
    layout,
    segments: joinTouching([{ offset: base, bytes: head }, ...entries, tail]),
    endOffset: tail.offset + tail.bytes.length,
  };
}

/**
 * Encodes the same beginning in the plain form: the block list without offsets, EOS, footer (docs/format.md §3). Pages
 * follow in PART or END sections.
 */
export function encodePlainRamStart(options: PlainRamStartOptions): Uint8Array {
  const { configuration, sectionId = RAM_SECTION_ID } = options;
  const addresses = configuration.capabilities.includes(CAPABILITY_IGNORE_SHARED);
  const total = assertBlocks(options.blocks, pageSizeOf(options));
  const writer = new ByteWriter().bytes(encodeBeginning(options, total));
  for (const block of options.blocks) blockEntry(writer, block, addresses);
  return writer.bytes(encodeRamEos(sectionId)).finish();
}

/** Encodes one entry of the block list up to and with its MappedRamHeader (docs/format.md §2.2, §2.3). */
export function encodeMappedBlockEntry(
  block: MappedBlockLayout,
  options: { readonly addresses: boolean; readonly targetPageSize: number },
): Uint8Array {
  return blockEntry(new ByteWriter(), block, options.addresses)
    .u32(MAPPED_RAM_HEADER_VERSION)
    .u64(options.targetPageSize)
    .u64(block.area.bitmapOffset)
    .u64(block.area.pagesOffset)
    .finish();
}

/** Encodes a RAM PART or END section without pages, as a mapped-ram file has them (docs/format.md §2.6). */
export function encodeEmptyRamSection(kind: 'part' | 'end', sectionId: number = RAM_SECTION_ID): Uint8Array {
  return new ByteWriter()
    .bytes(encodeSectionContinuation(kind, sectionId))
    .bytes(encodeRamEos(sectionId))
    .finish();
}

/** Encodes the end of a RAM section: the EOS word, and the footer. */
export function encodeRamEos(sectionId: number = RAM_SECTION_ID): Uint8Array {
  return new ByteWriter().u64(RAM_FLAG.eos).bytes(encodeFooter(sectionId)).finish();
}

function pageSizeOf({ targetPageSize, configuration }: RamStartOptions): number {
  return targetPageSize ?? targetPageSizeIn(configuration) ?? DEFAULT_TARGET_PAGE_SIZE;
}

/** Encodes everything before the first entry of the block list, with the word that opens the list. */
export function encodeBeginning(options: RamStartOptions, total: number): Uint8Array {
  const { configuration, sectionId = RAM_SECTION_ID, records = new Uint8Array() } = options;
  const identity = { sectionId, idstr: RAM_IDSTR, instanceId: RAM_INSTANCE, versionId: RAM_VERSION };
  return new ByteWriter()
    .bytes(encodeFileHeader())
    .bytes(encodeConfiguration(configuration))
    .bytes(records)
    .bytes(encodeSectionHeader('start', identity))
    .u64(total + RAM_FLAG.memSize)
    .finish();
}

function blockEntry(
  writer: ByteWriter,
  block: RamBlock & { readonly pageSize?: number },
  addresses: boolean,
): ByteWriter {
  const id = encodeName(block.id, 'block id');
  writer.u8(id.length).bytes(id).u64(block.length);
  if (block.pageSize !== undefined) writer.u64(block.pageSize);
  return addresses ? writer.u64(block.address ?? 0) : writer;
}

/** Joins the first entry with the beginning, which it follows at once: one write, not two. */
function joinTouching(segments: readonly Segment[]): readonly Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (last !== undefined && last.offset + last.bytes.length === segment.offset) {
      const bytes = new ByteWriter().bytes(last.bytes).bytes(segment.bytes).finish();
      joined[joined.length - 1] = { offset: last.offset, bytes };
    } else {
      joined.push(segment);
    }
  }
  return joined;
}
