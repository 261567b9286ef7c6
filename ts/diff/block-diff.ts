import type { PageCounts, PageDifference, PageDifferences } from './page-differences.ts';

/** Adjacent pages of a block that differ alike. */
export interface DiffRun {
  /** `only-left` and `only-right`: the other side has no such block, or a shorter one. */
  readonly kind: PageDifference | 'only-left' | 'only-right';
  /** Offset of the run in the block, in bytes. */
  readonly offset: number;
  /** Length in bytes: whole pages. */
  readonly length: number;
}

/** A stretch of a block, with counts of the pages that differ in it. */
export interface DiffPiece {
  /** Offset of the piece in the block, in bytes. */
  readonly offset: number;
  readonly length: number;
  readonly pages: number;
  readonly differentPages: number;
}

/** The differences in one RAM block. */
export class BlockDiff implements PageCounts {
  readonly id: string;
  /** The used length on the left, in bytes; undefined when there is no such block. */
  readonly leftLength: number | undefined;
  /** The used length on the right, in bytes; undefined when there is no such block. */
  readonly rightLength: number | undefined;
  readonly pageSize: number;
  /** Pages of the longer side. */
  readonly pages: number;
  /** Pages with the same content, zero pages included. */
  readonly same: number;
  /** Pages with data on both sides, but other data. */
  readonly changed: number;
  /** Pages with data on the left that are zero on the right. */
  readonly becameZero: number;
  /** Zero pages on the left with data on the right. */
  readonly becameData: number;
  /** Pages that only one side has, because the block is longer there or on that side only. */
  readonly onlyLeft: number;
  readonly onlyRight: number;
  readonly #differences: PageDifferences;

  /** @internal */
  constructor(
    id: string,
    lengths: { readonly left: number | undefined; readonly right: number | undefined },
    pageSize: number,
    differences: PageDifferences,
  ) {
    const [left, right] = [(lengths.left ?? 0) / pageSize, (lengths.right ?? 0) / pageSize];
    const common = Math.min(left, right);
    const { changed, becameZero, becameData } = differences.count(0, common);
    this.id = id;
    this.leftLength = lengths.left;
    this.rightLength = lengths.right;
    this.pageSize = pageSize;
    this.pages = Math.max(left, right);
    this.same = common - changed - becameZero - becameData;
    this.changed = changed;
    this.becameZero = becameZero;
    this.becameData = becameData;
    this.onlyLeft = left - common;
    this.onlyRight = right - common;
    this.#differences = differences;
  }

  /** True when both sides have the block, with one length and the same content. */
  get equal(): boolean {
    return this.leftLength === this.rightLength && this.same === this.pages;
  }

  /** The runs that differ, in order. The generator computes each run on demand: there can be as many runs as pages. */
  *runs(): Generator<DiffRun, void, void> {
    const { pageSize, onlyLeft, onlyRight, pages } = this;
    for (const { kind, page, pages: count } of this.#differences.runs())
      yield { kind, offset: page * pageSize, length: count * pageSize };
    const alone = onlyLeft + onlyRight;
    if (alone > 0) {
      const kind = onlyLeft > 0 ? 'only-left' : 'only-right';
      yield { kind, offset: (pages - alone) * pageSize, length: alone * pageSize };
    }
  }

  /**
   * Yields the block in pieces of equal length (the last may be shorter), for a map.
   * @param length of a piece in bytes; rounded up to whole pages
   */
  *pieces(length: number): Generator<DiffPiece, void, void> {
    const { pageSize, pages: all } = this;
    const step = Math.max(1, Math.ceil(length / pageSize));
    const common = all - this.onlyLeft - this.onlyRight;
    for (let page = 0; page < all; page += step) {
      const end = Math.min(all, page + step);
      const { changed, becameZero, becameData } = this.#differences.count(page, Math.min(end, common));
      const alone = Math.max(0, end - Math.max(page, common));
      yield {
        offset: page * pageSize,
        length: (end - page) * pageSize,
        pages: end - page,
        differentPages: changed + becameZero + becameData + alone,
      };
    }
  }
}
