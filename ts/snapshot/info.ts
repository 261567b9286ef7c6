import { MappedRamError } from '../errors.ts';
import type { OpenSource } from '../io/open-source.ts';
import { countSetPages } from '../pages/bitmap-reader.ts';
import { areBitmapsLost } from '../pages/lost-bitmaps.ts';
import { pagesIn } from '../stream/page-area.ts';
import { readGlobalState } from '../stream/global-state.ts';
import { domainName, type LibvirtImage, readLibvirtData } from '../stream/read/libvirt-image.ts';
import type { MappedRamBlock, StreamIndex } from '../stream/stream-index.ts';
import type { DeltaBase } from './delta-base.ts';

const MAX_ALIGNMENT = 2 ** 30;

/** One RAM block of a snapshot. Offsets are absolute in the file, sizes in bytes. */
export interface BlockInfo {
  readonly id: string;
  /** The used length in bytes. */
  readonly length: number;
  readonly pages: number;
  /** Pages that are in the file; of a delta, in it or in its base. */
  readonly setPages: number;
  /** Pages that are in a delta itself, zero pages among them; undefined for a snapshot that is whole. */
  readonly changedPages: number | undefined;
  /** Pages that are not in the file: they were zero. */
  readonly zeroPages: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  /** The largest power of two that divides `pagesOffset`, up to 1 GiB: direct I/O can count on it. */
  readonly alignment: number;
  /**
   * True for a block that is listed without pages: with x-ignore-shared the destination has them already
   * (docs/format.md §2.4).
   */
  readonly skipped: boolean;
}

/** The account of libvirt's header, in front of the stream. */
export interface LibvirtInfo {
  /** The header's version, 1 or 2. */
  readonly version: number;
  /** libvirt's name for the form of the stream: `raw` or `sparse`. */
  readonly format: string;
  /** True when the guest ran as libvirt saved it. */
  readonly wasRunning: boolean;
  /** The domain's name in its XML; undefined when that does not tell. */
  readonly domain: string | undefined;
  /** True when the image has a cookie of libvirt's. */
  readonly cookie: boolean;
}

/** The base of a delta. */
export interface BaseInfo {
  readonly path: string;
  /** Offset of its stream in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file in bytes. */
  readonly size: number;
  /** Bytes that the filesystem or the storage has allocated for the file. */
  readonly allocated: number;
}

/** One section of device state. */
export interface SectionInfo {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly offset: number;
  /** Length in bytes, with header and footer. */
  readonly length: number;
  /** True for a section that is restored before the guest's memory. */
  readonly early: boolean;
}

/** A snapshot's account of itself: it is read from headers, bitmaps and the tail only. */
export interface SnapshotInfo {
  readonly path: string;
  /** Offset of the stream in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file in bytes. */
  readonly size: number;
  /** Bytes that the filesystem or the storage has allocated for the file. */
  readonly allocated: number;
  readonly machine: string;
  /** QEMU's migration capabilities that both sides must agree on. */
  readonly capabilities: readonly string[];
  readonly form: 'mapped-ram' | 'plain' | undefined;
  readonly pageSize: number;
  /** Blocks of a mapped-ram file. A plain stream tells only ids and lengths: see `plainBlocks`. */
  readonly blocks: readonly BlockInfo[];
  readonly plainBlocks: readonly { readonly id: string; readonly length: number }[];
  readonly sections: readonly SectionInfo[];
  /** Bytes of all sections together. */
  readonly deviceStateBytes: number;
  /** True when the stream was written to its end. */
  readonly complete: boolean;
  /**
   * True when every page and bitmap was written: in a complete file, and in one whose device state cannot be measured.
   */
  readonly ramComplete: boolean;
  /** The reason why the snapshot is not complete. */
  readonly problem: MappedRamError | undefined;
  /**
   * The run state that the stream records, in QEMU's words: the state before the save. Undefined when the stream does
   * not tell.
   */
  readonly runState: string | undefined;
  /** The base of a delta; undefined for a snapshot that is whole. */
  readonly base: BaseInfo | undefined;
  /** libvirt's header; undefined when the snapshot is in no save image of libvirt's. */
  readonly libvirt: LibvirtInfo | undefined;
  /** Findings that are legal, but hardly intended, in words. */
  readonly warnings: readonly string[];
}

/**
 * Reads the bitmaps, and tells what is in a snapshot.
 * @throws {MappedRamError} the reader's errors
 */
export async function readInfo(
  index: StreamIndex,
  reader: OpenSource,
  libvirt: LibvirtImage | undefined,
  base: DeltaBase | undefined,
): Promise<SnapshotInfo> {
  const { ram } = index;
  const mapped = ram?.form === 'mapped-ram' ? ram.blocks : [];
  const blocks: BlockInfo[] = [];
  for (const block of mapped) blocks.push(await blockInfo(block, reader));
  const sections = index.sections.map(({ idstr, instanceId, versionId, offset, length, early }) => ({
    name: idstr,
    instanceId,
    version: versionId,
    offset,
    length,
    early,
  }));
  return {
    path: reader.name,
    offset: index.base,
    size: reader.size,
    allocated: reader.allocated,
    machine: index.machine,
    capabilities: index.capabilities,
    form: ram?.form,
    pageSize: ram?.targetPageSize ?? 4096,
    blocks,
    plainBlocks: ram?.form === 'plain' ? ram.blocks.map(({ id, length }) => ({ id, length })) : [],
    sections,
    deviceStateBytes: sections.reduce((sum, { length }) => sum + length, 0),
    complete: index.complete,
    ramComplete: isRamComplete(index),
    problem: index.problem,
    runState: (await readGlobalState(reader, index))?.runState,
    base: base && baseInfo(base),
    libvirt: libvirt && (await libvirtInfo(reader, libvirt)),
    warnings: warningsOf(index, ram?.form === 'mapped-ram' && (await areBitmapsLost(reader, ram))),
  };
}

function baseInfo({ path, reader: { size, allocated }, index }: DeltaBase): BaseInfo {
  return { path, offset: index.base, size, allocated };
}

async function libvirtInfo(reader: OpenSource, image: LibvirtImage): Promise<LibvirtInfo> {
  const { version, format, wasRunning, cookieOffset } = image;
  // Damaged XML leaves the stream readable.
  const data = await readLibvirtData(reader, image).catch((error: unknown) => {
    if (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_CORRUPT') return undefined;
    throw error;
  });
  const domain = data && domainName(data.xml);
  return { version, format, wasRunning, domain, cookie: cookieOffset !== 0 };
}

async function blockInfo(block: MappedRamBlock, reader: OpenSource): Promise<BlockInfo> {
  const { id, length, skipped } = block;
  const { bitmapOffset, pagesOffset } = block.area;
  const pages = pagesIn(block.area);
  const setPages = await countSetPages(reader, block);
  const zeroPages = skipped ? 0 : pages - setPages;
  const delta = reader.overlay?.delta;
  const changedPages = delta && (await countSetPages(delta, block));
  const alignment = alignmentOf(pagesOffset);
  return {
    id,
    length,
    pages,
    setPages,
    changedPages,
    zeroPages,
    bitmapOffset,
    pagesOffset,
    alignment,
    skipped,
  };
}

/**
 * Tells whether RAM is whole. QEMU writes the bitmaps before it ends RAM (docs/format.md §4.1), so nothing behind that
 * matters for the pages. The vmdescription, too, comes after them, wherever the walk stopped.
 */
export function isRamComplete({ ram, complete, opaque, problem, vmdescription }: StreamIndex): boolean {
  if (complete) return ram !== undefined;
  if (opaque === undefined || problem?.code !== 'ERR_MAPPED_RAM_INCOMPLETE') return false;
  return ram?.ended === true || (ram?.startEnd !== undefined && vmdescription !== undefined);
}

function alignmentOf(offset: number): number {
  let alignment = 1;
  while (alignment < MAX_ALIGNMENT && offset % (alignment * 2) === 0) alignment *= 2;
  return alignment;
}

function warningsOf(index: StreamIndex, isEmpty: boolean): readonly string[] {
  const warnings: string[] = [];
  if (isEmpty) {
    warnings.push(
      'no page is set in any block: a save that was cancelled, or made with background-snapshot, looks like this',
    );
  }
  if (index.complete && index.vmdescription === undefined) {
    warnings.push('there is no vmdescription, so the device state cannot be told apart');
  }
  if (index.trailing !== undefined) {
    warnings.push(`${index.trailing.length} bytes follow the stream at offset ${index.trailing.offset}`);
  }
  return warnings;
}
