import type { AssembleOptions } from '../../ts/stream/write/behind-ram.ts';
import { assemblePlainFrame, type PlainPage } from '../../ts/stream/write/assemble.ts';
import { encodePageHeader, encodeZeroPage } from '../../ts/stream/write/encode-pages.ts';
import { PieceList, type StreamPiece } from '../../ts/stream/write/pieces.ts';

interface AssemblePlainOptions extends AssembleOptions {
  /** Pages that the stream is to bring. Default none. */
  readonly pages?: Iterable<PlainPage>;
}

/**
 * Assembles a plain stream around existing device state, all of it at once: what `assemblePlainBatches` does batch by
 * batch. The pages come between the two parts of the frame.
 */
export function assemblePlain({ pages = [], ...options }: AssemblePlainOptions): {
  readonly pieces: readonly StreamPiece[];
  readonly endOffset: number;
} {
  const { targetPageSize = 0 } = options.state.ram ?? {};
  const { head, tail } = assemblePlainFrame(options);
  const list = new PieceList(options.base ?? 0);
  addAll(list, head);
  let last: string | undefined;
  for (const { block, offset, source } of pages) {
    const record = { targetPageSize, sameBlock: block === last };
    last = block;
    list.bytes((source === 'zero' ? encodeZeroPage : encodePageHeader)(block, offset, record));
    if (source !== 'zero') list.copy({ offset: source, length: targetPageSize });
  }
  addAll(list, tail);
  return { pieces: list.list, endOffset: list.offset };
}

function addAll(list: PieceList, pieces: readonly StreamPiece[]): void {
  for (const { bytes, source } of pieces) {
    if (bytes === undefined) list.copy(source);
    else list.bytes(bytes);
  }
}
