import { MappedRamError } from '../../errors.ts';
import { encodeCommand } from '../command.ts';
import type { StreamPatch } from '../global-state.ts';
import type { Configuration } from '../configuration.ts';
import { encodePageHeader, encodeZeroPage } from './encode-pages.ts';
import {
  encodeEmptyRamSection,
  encodeMappedRamStart,
  encodePlainRamStart,
  encodeRamEos,
  type MappedRamStart,
} from './encode-ram.ts';
import type { MappedRamLayout, RamBlock } from './layout.ts';
import { PieceList, type StreamPiece } from './pieces.ts';
import { encodeSectionContinuation, encodeVmdescription } from '../section.ts';
import { commandsBeforeRam, stateSections, type StateSections } from './state-sections.ts';
import type { RamIndex, StreamHead, StreamIndex } from '../stream-index.ts';

/** The parts of a new stream. */
export interface AssembleOptions {
  /** The stream that the device state comes from. Must be complete. */
  readonly state: StreamIndex;
  /** CONFIGURATION of the new stream. */
  readonly configuration: Configuration;
  readonly blocks: readonly RamBlock[];
  /** JSON to end the stream with: `readVmdescriptionFor`. The record is left out when undefined. */
  readonly vmdescription?: Uint8Array | undefined;
  /** Bytes that take the place of the state's own, by offset in the state's stream. Default none. */
  readonly patches?: readonly StreamPatch[] | undefined;
  /** Offset of the new stream in its file, in bytes. Default 0. */
  readonly base?: number;
}

/** The parts of a new mapped-ram file. */
export interface AssembleMappedOptions extends AssembleOptions {
  /** Alignment of page areas in bytes. Default 1 MiB. */
  readonly alignment?: number;
}

/** A new mapped-ram file, but for its bitmaps and pages. */
export interface AssembledMapped {
  /** The places of bitmaps and pages, which are the caller's to write. */
  readonly layout: MappedRamLayout;
  /** Everything else, in file order. */
  readonly pieces: readonly StreamPiece[];
  /** Offset of the stream's end: the size of the file. */
  readonly endOffset: number;
}

/**
 * Assembles a mapped-ram file around existing device state: new beginning and block list, the other sections verbatim
 * (docs/format.md §2, §3 last part, §9).
 * @throws {MappedRamError} as `stateSections` and `encodeMappedRamStart`
 */
export function assembleMappedRam(options: AssembleMappedOptions): AssembledMapped {
  const { sections, ram } = carried(options.state);
  const { sectionId } = ram;
  const start = mappedStart(options);
  const pieces = new PieceList(start.endOffset);
  pieces.copyAll(sections.early);
  pieces.copyAll(sections.switchover);
  pieces.bytes(encodeEmptyRamSection('end', sectionId));
  addTail(pieces, sections, options);
  return { layout: start.layout, pieces: [...start.segments, ...pieces.list], endOffset: pieces.offset };
}

/**
 * Lays the RAM of a new mapped-ram file out as `assembleMappedRam` does: the beginning of the state is enough for that.
 * @throws {MappedRamError} as `encodeMappedRamStart`
 */
export function layoutAround(options: MappedStartOptions): MappedRamLayout {
  return mappedStart(options).layout;
}

type MappedStartOptions = Pick<AssembleMappedOptions, 'configuration' | 'blocks' | 'base' | 'alignment'> & {
  readonly state: StreamHead;
};

function mappedStart({
  state,
  configuration,
  blocks,
  base = 0,
  alignment,
}: MappedStartOptions): MappedRamStart {
  const { sectionId, targetPageSize } = ramOf(state);
  return encodeMappedRamStart({
    configuration,
    blocks,
    base,
    sectionId,
    targetPageSize,
    records: recordsBeforeRam(state),
    ...(alignment === undefined ? {} : { alignment }),
  });
}

/** A page for the plain form. `source` is the offset of its bytes in the stream that the state comes from. */
export interface PlainPage {
  readonly block: string;
  readonly offset: number;
  readonly source: number | 'zero';
}

/** The parts of a new plain stream. */
export interface AssemblePlainBatchesOptions extends AssembleOptions {
  /** Pages in the order in which the stream is to bring them. */
  readonly pages: Iterable<PlainPage> | AsyncIterable<PlainPage>;
}

/** Pages whose pieces are handed out at once. */
const PAGES_PER_BATCH = 256;

/**
 * Assembles a plain stream around existing device state (docs/format.md §3), some pieces at a time, for the pages of a
 * whole guest. The pieces follow each other without gaps, and the stream ends with the last one.
 * @throws {MappedRamError} as `stateSections` and `encodePlainRamStart`
 */
export async function* assemblePlainBatches(
  options: AssemblePlainBatchesOptions,
): AsyncGenerator<readonly StreamPiece[], void, void> {
  const assembly = new PlainAssembly(options);
  let count = 0;
  for await (const page of options.pages) {
    assembly.page(page);
    count += 1;
    if (count % PAGES_PER_BATCH === 0) yield assembly.pieces.take();
  }
  assembly.end();
  yield assembly.pieces.take();
}

/**
 * Assembles the parts before and behind the page records of a plain stream, for a caller that writes the records.
 * Offsets behind are as if there were none.
 */
export function assemblePlainFrame(options: AssembleOptions): {
  readonly head: readonly StreamPiece[];
  readonly tail: readonly StreamPiece[];
} {
  const assembly = new PlainAssembly(options);
  const head = assembly.pieces.take();
  assembly.end();
  return { head, tail: assembly.pieces.take() };
}

class PlainAssembly {
  readonly pieces: PieceList;
  readonly #ram: RamIndex;
  readonly #sections: StateSections;
  readonly #options: AssembleOptions;
  #lastBlock: string | undefined;

  constructor(options: AssembleOptions) {
    const { state, configuration, blocks, base = 0 } = options;
    const { sections, ram, records } = carried(state);
    const { sectionId, targetPageSize } = ram;
    this.#ram = ram;
    this.#sections = sections;
    this.#options = options;
    this.pieces = new PieceList(base);
    this.pieces.bytes(encodePlainRamStart({ configuration, blocks, sectionId, targetPageSize, records }));
    this.pieces.copyAll(sections.early);
    this.pieces.copyAll(sections.switchover);
    this.pieces.bytes(encodeSectionContinuation('end', sectionId));
  }

  page({ block, offset, source }: PlainPage): void {
    const { targetPageSize } = this.#ram;
    const record = { targetPageSize, sameBlock: block === this.#lastBlock };
    this.#lastBlock = block;
    if (source === 'zero') {
      this.pieces.bytes(encodeZeroPage(block, offset, record));
    } else {
      this.pieces.bytes(encodePageHeader(block, offset, record));
      this.pieces.copy({ offset: source, length: targetPageSize });
    }
  }

  end(): void {
    this.pieces.bytes(encodeRamEos(this.#ram.sectionId));
    addTail(this.pieces, this.#sections, this.#options);
  }
}

function carried(state: StreamIndex): {
  readonly sections: StateSections;
  readonly ram: RamIndex;
  readonly records: Uint8Array;
} {
  const sections = stateSections(state);
  const ram = ramOf(state);
  const early = state.sections.filter(({ offset }) => offset < ram.offset);
  return {
    sections: { ...sections, early: [...early, ...sections.early] },
    ram,
    records: recordsBeforeRam(state),
  };
}

function ramOf({ ram }: StreamHead): RamIndex {
  if (ram === undefined) throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'device state without RAM');
  return ram;
}

/** Whole records of the commands that go in front of RAM. */
function recordsBeforeRam(state: StreamHead): Uint8Array {
  const records = new PieceList(0);
  for (const { code, data } of commandsBeforeRam(state)) records.bytes(encodeCommand(code, data));
  return records.joined();
}

function addTail(
  pieces: PieceList,
  sections: StateSections,
  { vmdescription, patches = [] }: AssembleOptions,
): void {
  for (const range of sections.devices) pieces.copyPatched(range, patches);
  pieces.copy(sections.eof);
  if (vmdescription !== undefined) pieces.bytes(encodeVmdescription(vmdescription));
}
