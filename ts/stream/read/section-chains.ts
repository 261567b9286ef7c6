import { MappedRamError } from '../../errors.ts';
import { MAX_RECORDS } from '../constants.ts';

/** A FULL section that may begin at a place. */
export interface PossibleSection {
  /** Offset of the section's type byte. */
  readonly offset: number;
  readonly sectionId: number;
  readonly bodyOffset: number;
}

/** A place that some way through the sections reaches: a section begins here, or the last one has ended. */
interface Joint {
  readonly section: PossibleSection | undefined;
  /** Offset of the byte behind the footer that ends the section before. */
  readonly offset: number;
  /** Ways from the first section to here; 2 stands for any number above 1. */
  readonly ways: number;
  /** Two of the sections that may end here, as far as there are so many. */
  readonly first: Joint | undefined;
  readonly second: Joint | undefined;
}

/** The sections of one id that may end from some place on. */
type Open = Pick<Joint, 'ways' | 'first' | 'second'>;

/** A section of the only way, with the end of its body. */
export interface ChainedSection extends PossibleSection {
  readonly footerOffset: number;
}

/** Bytes of a footer. */
const FOOTER = 5;

/**
 * Counts the ways to divide bytes into sections. The caller goes through the bytes once, from front to back, and names
 * every footer that may end a section. Time and memory grow with the number of places that are reached, never with the
 * number of ways, which may double with each section.
 */
export class SectionChains {
  readonly #name: string;
  /** Sections whose bodies begin behind the place that the caller has come to. Headers are short, so there are few. */
  #pending: Joint[] = [];
  readonly #open: Map<number, Open> = new Map();
  #reached = 0;
  #furthest: number;

  /**
   * @param name the source's name in errors
   * @param start offset of the first section
   */
  constructor(name: string, start: number) {
    this.#name = name;
    this.#furthest = start;
  }

  /** Adds the first section, which nothing goes before. */
  begin(section: PossibleSection): void {
    const { offset } = section;
    this.#reach({ section, offset, ways: 1, first: undefined, second: undefined });
  }

  /**
   * The sections that a footer at `offset` may end. Offsets do not go back between calls.
   * @returns undefined when the footer ends none
   */
  endedBy(sectionId: number, offset: number): Open | undefined {
    if (this.#pending.length > 0) this.#openUpTo(offset);
    return this.#open.get(sectionId);
  }

  /**
   * Adds a section that begins right behind a footer.
   * @param before the answer of `endedBy` for that footer
   * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when more places are reached than any stream has sections
   */
  add(before: Open, section: PossibleSection): void {
    this.#reach({ ...before, section, offset: section.offset });
  }

  /**
   * The sections of the only way that ends behind a footer.
   * @param before the answer of `endedBy` for the last footer; undefined when that ends nothing
   * @param offset of the byte that ends the sections
   * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when there is no way, ERR_MAPPED_RAM_UNSUPPORTED when there are
   *   several
   */
  only(before: Open | undefined, offset: number): readonly ChainedSection[] {
    if (before === undefined) throw this.noWay();
    if (before.ways > 1) throw this.#severalWays({ ...before, section: undefined, offset });
    const sections: ChainedSection[] = [];
    let end = offset;
    for (let joint = before.first; joint !== undefined; joint = joint.first) {
      if (joint.section !== undefined) sections.push({ ...joint.section, footerOffset: end - FOOTER });
      end = joint.offset;
    }
    return sections.toReversed();
  }

  /** The error for bytes that no sections make up. */
  noWay(): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the device state does not divide into sections', {
      path: this.#name,
      offset: this.#furthest,
      expected: 'a section with its footer, and another section or the end behind it',
      found: 'none that leads to the end',
    });
  }

  #severalWays(end: Joint): MappedRamError {
    let joint = end;
    while (joint.second === undefined && joint.first !== undefined) joint = joint.first;
    const [first = joint, second = joint] = [joint.first, joint.second];
    return new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      'the device state divides into sections in more than one way',
      {
        path: this.#name,
        offset: joint.offset,
        expected: 'one section that ends here',
        found: `one that begins at ${first.offset}, and one that begins at ${second.offset}`,
      },
    );
  }

  #reach(joint: Joint): void {
    this.#reached += 1;
    if (this.#reached > MAX_RECORDS) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_CORRUPT',
        `more than ${MAX_RECORDS} places where a section may begin`,
        { path: this.#name, offset: joint.offset },
      );
    }
    this.#furthest = joint.offset;
    this.#pending.push(joint);
  }

  /** Lets sections end whose bodies begin at `offset` or before. */
  #openUpTo(offset: number): void {
    const later: Joint[] = [];
    for (const joint of this.#pending) {
      if (joint.section === undefined || joint.section.bodyOffset > offset) {
        later.push(joint);
        continue;
      }
      const { sectionId } = joint.section;
      const others = this.#open.get(sectionId);
      this.#open.set(
        sectionId,
        others === undefined
          ? { ways: joint.ways, first: joint, second: undefined }
          : { ways: 2, first: others.first, second: others.second ?? joint },
      );
    }
    this.#pending = later;
  }
}
