import { encodePageHeader, encodeZeroPage } from './encode-pages.ts';
import {
  encodeMappedRamStart,
  encodePlainRamStart,
  encodeRamEos,
  type MappedRamStart,
} from './encode-ram.ts';
import type { MappedRamLayout } from './layout.ts';
import { PieceList, type StreamPiece } from './pieces.ts';
import { encodeSectionContinuation } from '../section.ts';
import {
  addTail,
  type AssembleOptions,
  carriedState,
  piecesBehindRam,
  ramOf,
  recordsBeforeRam,
} from './behind-ram.ts';
import type { StateSections } from './state-sections.ts';
import type { RamIndex, StreamHead } from '../stream-index.ts';

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
  const start = mappedStart(options);
  const behind = piecesBehindRam(options, start.endOffset);
  const pieces = [...start.segments, ...behind.list];
  return { layout: start.layout, pieces, endOffset: behind.offset };
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
    const { sections, ram, records } = carriedState(state);
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
