import { decodeSectionIdentity, sectionKind, type SectionIdentity } from '../section.ts';
import type { StreamCursor } from './stream-cursor.ts';

/**
 * The iterable sections that a stream has started, by id: a PART or END section has nothing but the id to name it
 * (docs/format.md §1.1).
 */
export class StartedSections {
  readonly #sections: Map<number, SectionIdentity> = new Map();

  has(sectionId: number): boolean {
    return this.#sections.has(sectionId);
  }

  /**
   * Reads the identity of the section whose type byte was just read.
   * @param offset of that byte
   * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT for one that starts twice, or goes on and has not started
   */
  async next(cursor: StreamCursor, offset: number, type: number): Promise<SectionIdentity> {
    const kind = sectionKind(type);
    if (kind === 'start') return this.#start(cursor, offset);
    await cursor.need(4);
    const sectionId = cursor.u32();
    const identity = this.#sections.get(sectionId);
    if (identity !== undefined) return identity;
    throw cursor.corrupt(`section ${kind.toUpperCase()}`, {
      offset,
      expected: 'the id of a section that has started',
      found: sectionId,
    });
  }

  async #start(cursor: StreamCursor, offset: number): Promise<SectionIdentity> {
    const identity = await decodeSectionIdentity(cursor);
    const { sectionId, idstr } = identity;
    for (const other of this.#sections.values()) {
      if (other.sectionId === sectionId || other.idstr === idstr)
        throw cursor.corrupt(`section ${idstr} or its id ${sectionId} starts twice`, { offset });
    }
    this.#sections.set(sectionId, identity);
    return identity;
  }
}
