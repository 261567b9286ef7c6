import { MappedRamError } from '../../errors.ts';
import { ByteWriter } from '../write/byte-writer.ts';
import { decodeCommand, encodeCommand } from '../command.ts';
import { decodeConfiguration, decodeFileHeader, type Configuration } from '../configuration.ts';
import { CAPABILITY_MAPPED_RAM, DEFAULT_TARGET_PAGE_SIZE, RAM_IDSTR, RECORD } from '../constants.ts';
import { encodeEmptyRamSection } from '../write/encode-ram.ts';
import { findFooter } from './find-footer.ts';
import { KeptBytes } from './kept-bytes.ts';
import { newRamState, type RamState } from './ram-state.ts';
import type { RamPageRecord } from '../records.ts';
import { decodeSectionIdentity, type SectionIdentity } from '../section.ts';
import { assertRamSection, assertRecordCount, takeEmptyBitmap, takeFooter } from './section-rules.ts';
import type { SequentialReader } from './sequential-reader.ts';
import { StartedSections } from './started-sections.ts';
import type { PlainRamBlock } from '../stream-index.ts';
import { StreamCursor } from './stream-cursor.ts';
import { findNextVmdescription } from '../vmdescription/find-vmdescription.ts';
import { readListWord, walkRamList } from './walk-ram-list.ts';
import { walkRamPages } from './walk-ram-pages.ts';

const CHUNK = 1 << 20;

/** The part of a plain stream before its pages. */
export interface PlainStreamHead {
  readonly configuration: Configuration;
  readonly sectionId: number;
  readonly targetPageSize: number;
  readonly blocks: readonly PlainRamBlock[];
  /** Whole commands between CONFIGURATION and RAM. */
  readonly records: Uint8Array;
}

/**
 * A plain stream read once, front to back, as it comes out of a pipe (docs/format.md §3): `readHead`, then all of
 * `pages`, then `rest`. The result is the stream without its page records, a stream of its own. It can be read at
 * offsets and has its vmdescription at hand. So `readStreamIndex` checks on it the two guesses of the first reading:
 * the length of the sections between RAM's, and the page size.
 */
export class PlainStream {
  readonly #reader: SequentialReader;
  readonly #cursor: StreamCursor;
  readonly #kept: KeptBytes;
  readonly #started: StartedSections = new StartedSections();
  #records = 0;
  #ram: RamState | undefined;
  #ramId = 0;

  constructor(reader: SequentialReader, offset: number) {
    this.#reader = reader;
    reader.release(offset);
    this.#cursor = new StreamCursor(reader, offset);
    this.#kept = new KeptBytes(reader.name);
  }

  /**
   * Reads everything before the pages.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a mapped-ram file, which has to be read at offsets, and for
   *   sections that cannot be measured; ERR_MAPPED_RAM_BAD_MAGIC, ERR_MAPPED_RAM_CORRUPT, ERR_MAPPED_RAM_TRUNCATED,
   *   ERR_MAPPED_RAM_UNSUPPORTED_VERSION; and the source's errors
   */
  async readHead(): Promise<PlainStreamHead> {
    const cursor = this.#cursor;
    const { position: start } = cursor;
    await decodeFileHeader(cursor);
    const configuration = await decodeConfiguration(cursor);
    if (configuration.capabilities.includes(CAPABILITY_MAPPED_RAM)) {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'a mapped-ram file must be read at offsets', {
        path: cursor.reader.name,
        expected: 'a file, or a plain stream',
        found: 'a mapped-ram file in a pipe',
      });
    }
    await this.#keep(start);
    const records = new ByteWriter();
    for (;;) {
      const { position: offset } = cursor;
      const type = await this.#type();
      if (type === RECORD.command) {
        const { code, data } = await decodeCommand(cursor);
        await this.#keepRecord(offset);
        records.bytes(encodeCommand(code, data));
      } else if (isIterable(type)) {
        const identity = await this.#started.next(cursor, offset, type);
        if (identity.idstr === RAM_IDSTR) {
          const blocks = await this.#readList(offset, identity, configuration);
          const { sectionId } = identity;
          const { targetPageSize = DEFAULT_TARGET_PAGE_SIZE } = this.#ram ?? {};
          return { configuration, sectionId, targetPageSize, blocks, records: records.finish() };
        }
        await this.#other(offset, identity);
      } else {
        await this.#section(offset, type);
      }
    }
  }

  /**
   * The page records of all RAM sections, some at a time. A batch's bytes can be read until the caller asks for the
   * next batch.
   */
  async *pages(): AsyncGenerator<readonly RamPageRecord[], void, void> {
    const cursor = this.#cursor;
    for (;;) {
      const { position: offset } = cursor;
      const type = await this.#type();
      if (type === RECORD.command) {
        await decodeCommand(cursor);
        await this.#keepRecord(offset);
      } else if (isIterable(type)) {
        const identity = await this.#started.next(cursor, offset, type);
        if (identity.idstr === RAM_IDSTR) {
          yield* this.#pages();
          await takeFooter(cursor, offset, identity);
          if (type === RECORD.sectionEnd) return;
        } else {
          await this.#other(offset, identity);
        }
      } else {
        await this.#section(offset, type);
      }
    }
  }

  /**
   * Reads everything behind RAM, up to the end of the stream, which its vmdescription tells; without one, up to the
   * source's end. A pipe is read to its end in any case: its writer would die of a pipe that is closed early.
   * @returns the stream without its page records
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when it is more than `MAX_STATE_BYTES`
   */
  async rest(): Promise<Uint8Array> {
    const reader = this.#reader;
    const end = encodeEmptyRamSection('end', this.#ramId);
    let { position: offset } = this.#cursor;
    // The section that ends RAM ends like this one.
    this.#kept.add(end, offset - end.length);
    reader.release(offset);
    const found = await findNextVmdescription(reader, offset);
    const last = found === undefined ? Number.MAX_SAFE_INTEGER : found.jsonOffset + found.jsonLength;
    for (;;) {
      const bytes = await reader.read(offset, Math.min(CHUNK, last - offset));
      if (bytes.length === 0) break;
      this.#kept.add(bytes, offset);
      offset += bytes.length;
      reader.release(offset);
    }
    while (reader.kind === 'stream' && (await reader.read(offset, CHUNK)).length > 0) {
      offset += CHUNK;
      reader.release(offset);
    }
    return this.#kept.finish();
  }

  /** Finds the source's offset of the byte at `position` of the stream without its page records. */
  sourceOffset(position: number): number {
    return this.#kept.sourceOffset(position);
  }

  async #type(): Promise<number> {
    await this.#cursor.need(1);
    return this.#cursor.u8();
  }

  async #readList(
    offset: number,
    identity: SectionIdentity,
    configuration: Configuration,
  ): Promise<readonly PlainRamBlock[]> {
    const cursor = this.#cursor;
    assertRamSection(cursor, offset, identity);
    const { targetPageBits } = configuration;
    // An architecture without bits here has a fixed page size, nearly always 4 KiB (docs/format.md §1.2). The index
    // checks it.
    const ram = newRamState(
      configuration,
      targetPageBits === undefined ? DEFAULT_TARGET_PAGE_SIZE : 2 ** targetPageBits,
    );
    this.#ram = ram;
    this.#ramId = identity.sectionId;
    const blocks: PlainRamBlock[] = [];
    for await (const { id, blockLength } of walkRamList(cursor, ram, await readListWord(cursor, ram))) {
      blocks.push({ id, length: blockLength });
    }
    // The body of START ends like the bodies of the sections with pages, and has no page.
    for await (const batch of walkRamPages(cursor, ram)) {
      const [page] = batch;
      if (page !== undefined) throw cursor.corrupt('a page in the section that lists the blocks', page);
    }
    await takeFooter(cursor, offset, identity);
    await this.#keep(offset);
    return blocks;
  }

  async *#pages(): AsyncGenerator<readonly RamPageRecord[], void, void> {
    if (this.#ram === undefined) return;
    for await (const batch of walkRamPages(this.#cursor, this.#ram)) {
      yield batch;
      const last = batch.at(-1);
      if (last !== undefined) this.#reader.release(last.offset + last.length);
    }
  }

  /** Takes a section between RAM's that is neither RAM nor iterable: a device that is marked early. */
  async #section(offset: number, type: number): Promise<void> {
    const cursor = this.#cursor;
    if (type === RECORD.eof) throw cursor.corrupt('the stream ends before its RAM does', { offset });
    if (type !== RECORD.sectionFull) {
      throw cursor.corrupt('unknown record type', { offset, found: `0x${type.toString(16)}` });
    }
    const identity = await decodeSectionIdentity(cursor);
    cursor.seek(await findFooter(this.#reader, cursor.position, identity, this.#started.ids));
    await takeFooter(cursor, offset, identity);
    await this.#keepRecord(offset);
  }

  /** Takes a section of iterable state that is not RAM. */
  async #other(offset: number, identity: SectionIdentity): Promise<void> {
    const cursor = this.#cursor;
    if (!(await takeEmptyBitmap(cursor, identity))) {
      throw new MappedRamError(
        'ERR_MAPPED_RAM_UNSUPPORTED',
        `nothing describes the body of section ${identity.idstr}`,
        {
          path: cursor.reader.name,
          offset,
          expected: 'no sections of other iterable state between those of RAM',
        },
      );
    }
    await takeFooter(cursor, offset, identity);
    await this.#keepRecord(offset);
  }

  /** Ends a command or a section. The index takes only so many of them; RAM's sections do not count. */
  async #keepRecord(offset: number): Promise<void> {
    this.#records += 1;
    assertRecordCount(this.#records, this.#reader.name, offset);
    await this.#keep(offset);
  }

  /** Adds the bytes from `offset` up to here to the result. */
  async #keep(offset: number): Promise<void> {
    const { position } = this.#cursor;
    this.#kept.add(await this.#reader.read(offset, position - offset), offset);
    this.#reader.release(position);
  }
}

function isIterable(type: number): boolean {
  return type === RECORD.sectionStart || type === RECORD.sectionPart || type === RECORD.sectionEnd;
}
