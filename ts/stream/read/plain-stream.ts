import { MappedRamError } from '../../errors.ts';
import { ByteWriter } from '../write/byte-writer.ts';
import { decodeCommand, encodeCommand, isCarriedCommand } from '../command.ts';
import { decodeConfiguration, decodeFileHeader, type Configuration } from '../configuration.ts';
import {
  CAPABILITY_MAPPED_RAM,
  DEFAULT_TARGET_PAGE_SIZE,
  FOOTER_BYTES,
  RAM_IDSTR,
  RECORD,
} from '../constants.ts';
import { encodeEmptyRamSection } from '../write/encode-ram.ts';
import { findFooter } from './find-footer.ts';
import { KeptBytes, MAX_STATE_BYTES } from './kept-bytes.ts';
import { newRamState, type RamState } from './ram-state.ts';
import { truncated } from '../reader.ts';
import type { RamPageRecord } from '../records.ts';
import { decodeSectionIdentity, type SectionIdentity } from '../section.ts';
import { assertRamSection, assertRecordCount, takeFooter, unmeasured } from './section-rules.ts';
import type { SequentialReader } from './sequential-reader.ts';
import { sniffPageSize } from './sniff-page-size.ts';
import { StartedSections } from './started-sections.ts';
import type { PlainRamBlock } from '../stream-index.ts';
import { MIN_TARGET_PAGE_SIZE, targetPageSizeIn } from '../target-page-size.ts';
import { StreamCursor } from './stream-cursor.ts';
import { findNextVmdescription } from '../vmdescription/find-vmdescription.ts';
import { readListWord, walkRamList } from './walk-ram-list.ts';
import { walkRamPages } from './walk-ram-pages.ts';

const CHUNK = 1 << 20;

/** A section of RAM whose head has been read. */
interface RamSection {
  readonly offset: number;
  readonly type: number;
  readonly identity: SectionIdentity;
}

/** The part of a plain stream before its pages. */
export interface PlainStreamHead {
  readonly configuration: Configuration;
  readonly sectionId: number;
  readonly targetPageSize: number;
  readonly blocks: readonly PlainRamBlock[];
  /** Whole commands between CONFIGURATION and RAM, as far as a stream with other RAM keeps them. */
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
  /** The section of RAM whose records are at the cursor. */
  #next: RamSection | undefined;

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
        expected: 'a file (write it to one first), or a plain stream',
        found: 'a mapped-ram file in a pipe',
      });
    }
    await this.#keep(start);
    const records = new ByteWriter();
    const list = await this.#nextOfRam(records);
    if (list === undefined) {
      throw cursor.corrupt('the stream ends before its RAM does');
    }
    const { ram, blocks } = await this.#readList(list, configuration);
    this.#ram = ram;
    this.#next = await this.#nextOfRam();
    if (targetPageSizeIn(configuration) === undefined) {
      // Nothing before the pages tells their size, which is nearly always 4 KiB. The index checks it.
      ram.targetPageSize = (await sniffPageSize(this.#reader, cursor.position)) ?? DEFAULT_TARGET_PAGE_SIZE;
    }
    const { sectionId, targetPageSize } = ram;
    return { configuration, sectionId, targetPageSize, blocks, records: records.finish() };
  }

  /**
   * The page records of all RAM sections, some at a time. A batch's bytes can be read until the caller asks for the
   * next batch. The stream of a background snapshot has no END section of RAM: its pages end with the stream.
   */
  async *pages(): AsyncGenerator<readonly RamPageRecord[], void, void> {
    const cursor = this.#cursor;
    for (; this.#next !== undefined; this.#next = await this.#nextOfRam()) {
      const { offset, type, identity } = this.#next;
      yield* this.#pages();
      await takeFooter(cursor, offset, identity);
      if (type === RECORD.sectionEnd) return;
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
    let { position: offset } = this.#cursor;
    if (this.#ram !== undefined && this.#next !== undefined) {
      const end = encodeEmptyRamSection('end', this.#ram.sectionId);
      // The section that ends RAM ends like this one.
      this.#kept.add(end, offset - end.length);
    }
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

  /**
   * Takes everything up to the records of RAM's next section. Undefined at the end of the stream, where the cursor then
   * is.
   * @param commands takes the commands on the way
   */
  async #nextOfRam(commands?: ByteWriter): Promise<RamSection | undefined> {
    const cursor = this.#cursor;
    for (;;) {
      const { position: offset } = cursor;
      await cursor.need(1);
      const type = cursor.peek();
      if (type === RECORD.eof) return undefined;
      cursor.skip(1);
      if (type === RECORD.command) {
        const { code, data } = await decodeCommand(cursor);
        if (isCarriedCommand(code, offset)) commands?.bytes(encodeCommand(code, data));
      } else if (isIterable(type)) {
        const identity = await this.#started.next(cursor, offset, type);
        if (identity.idstr === RAM_IDSTR) return { offset, type, identity };
        await this.#skipBody(offset, identity);
      } else if (type === RECORD.sectionFull) {
        await this.#skipBody(offset, await decodeSectionIdentity(cursor));
      } else {
        throw cursor.corrupt('unknown record type', { offset, found: `0x${type.toString(16)}` });
      }
      // The index takes only so many records. PARTs do not count: it joins them.
      if (type !== RECORD.sectionPart) this.#records += 1;
      assertRecordCount(this.#records, this.#reader.name, offset);
      await this.#keep(offset);
    }
  }

  async #readList(
    { offset, identity }: RamSection,
    configuration: Configuration,
  ): Promise<{ readonly ram: RamState; readonly blocks: readonly PlainRamBlock[] }> {
    const cursor = this.#cursor;
    assertRamSection(cursor, offset, identity);
    const pageSize = targetPageSizeIn(configuration) ?? MIN_TARGET_PAGE_SIZE;
    const ram = newRamState(configuration, identity.sectionId, pageSize);
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
    return { ram, blocks };
  }

  async *#pages(): AsyncGenerator<readonly RamPageRecord[], void, void> {
    if (this.#ram === undefined) return;
    for await (const batch of walkRamPages(this.#cursor, this.#ram)) {
      yield batch;
      const last = batch.at(-1);
      if (last !== undefined) this.#reader.release(last.offset + last.length);
    }
  }

  /** Takes the body of a section that is not RAM's, up to its footer, and the footer. */
  async #skipBody(offset: number, identity: SectionIdentity): Promise<void> {
    const cursor = this.#cursor;
    const { position: body } = cursor;
    const surroundings = { started: this.#started, ram: this.#ram, describes: undefined };
    const footer = await findFooter(this.#reader, body, identity, surroundings, MAX_STATE_BYTES);
    if (footer === undefined) {
      const { name: path, size, kind } = this.#reader;
      if (this.#started.has(identity.sectionId)) throw unmeasured(identity, path, offset);
      if (size - body < MAX_STATE_BYTES) throw truncated(path, body, size - body + FOOTER_BYTES, size, kind);
      const message = `the body of section ${identity.idstr} cannot be measured`;
      const expected = `its footer and another record within ${MAX_STATE_BYTES} bytes`;
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', message, { path, offset, expected });
    }
    cursor.seek(footer);
    await takeFooter(cursor, offset, identity);
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
