import { decodeCommand } from '../command.ts';
import type { Configuration } from '../configuration.ts';
import { findFooter, MAX_BODY } from './find-footer.ts';
import { DEFAULT_TARGET_PAGE_SIZE, FOOTER_BYTES, RAM_IDSTR, RECORD } from '../constants.ts';
import { newRamState, type RamState } from './ram-state.ts';
import type { SectionRecord, StreamRecord } from '../records.ts';
import { decodeSectionIdentity, sectionKind, type SectionIdentity, type SectionKind } from '../section.ts';
import { assertRamSection, takeFooter } from './section-rules.ts';
import { StartedSections } from './started-sections.ts';
import type { StreamCursor } from './stream-cursor.ts';
import { mappedPageSize, targetPageSizeIn } from '../target-page-size.ts';
import type { DeviceLengths } from '../vmdescription/device-lengths.ts';
import { StreamDescription } from '../vmdescription/stream-description.ts';
import { readListWord, walkRamList } from './walk-ram-list.ts';
import { walkRamPages } from './walk-ram-pages.ts';

/** The longest body of live state, in bytes, that is looked through in a stream without a vmdescription. */
const MAX_UNPROVEN = 32 * 1024 * 1024;

/** The walk through everything behind CONFIGURATION, record by record. */
export class StreamWalk {
  readonly #cursor: StreamCursor;
  readonly #configuration: Configuration;
  readonly #pageSize: number | undefined;
  readonly #description: StreamDescription;
  readonly #started: StartedSections = new StartedSections();
  #ram: RamState | undefined;
  #ramEnded = false;

  /** @param pageSize the target page size, where the caller knows it */
  constructor(cursor: StreamCursor, configuration: Configuration, pageSize: number | undefined) {
    this.#cursor = cursor;
    this.#configuration = configuration;
    this.#pageSize = pageSize;
    this.#description = new StreamDescription(cursor.reader);
  }

  async *records(): AsyncGenerator<readonly StreamRecord[], void, void> {
    const cursor = this.#cursor;
    for (;;) {
      await cursor.need(1);
      const offset = cursor.position;
      const type = cursor.u8();
      switch (type) {
        case RECORD.eof:
          yield [{ type: 'eof', offset, length: 1 }];
          yield* this.#tail();
          return;
        case RECORD.command: {
          const command = await decodeCommand(cursor);
          yield [{ type: 'command', offset, length: cursor.position - offset, ...command }];
          break;
        }
        case RECORD.sectionStart:
        case RECORD.sectionPart:
        case RECORD.sectionEnd:
          if (yield* this.#iterable(offset, type)) break;
          return;
        case RECORD.sectionFull:
          if (yield* this.#device(offset)) break;
          return;
        default:
          throw cursor.corrupt('unknown record type', { offset, found: `0x${type.toString(16)}` });
      }
    }
  }

  /**
   * Walks a section of state that comes in several: RAM, or state that only QEMU can read. False when the walk ends
   * here.
   */
  async *#iterable(offset: number, type: number): AsyncGenerator<readonly StreamRecord[], boolean, void> {
    const cursor = this.#cursor;
    const kind = sectionKind(type);
    const identity = await this.#started.next(cursor, offset, type);
    const bodyOffset = cursor.position;
    if (identity.idstr === RAM_IDSTR) {
      if (kind === 'start') yield* this.#ramList(offset, identity);
      if (this.#ram !== undefined) yield* walkRamPages(cursor, this.#ram);
      this.#ramEnded ||= kind === 'end';
    } else {
      const devices = await this.#devices(bodyOffset, offset);
      const describes = devices && ((name: string, instance: number) => devices.has(name, instance));
      const surroundings = { started: this.#started, ram: this.#ram, describes };
      const most = devices === undefined ? MAX_UNPROVEN : Math.min(devices.end - bodyOffset, MAX_BODY);
      const footer = await findFooter(cursor.reader, bodyOffset, identity, surroundings, most);
      if (footer === undefined) {
        yield* this.#opaque(offset, `nothing describes the body of section ${identity.idstr}`, devices?.end);
        return false;
      }
      cursor.seek(footer);
    }
    yield [await this.#close(kind, offset, bodyOffset, identity)];
    return true;
  }

  async *#ramList(
    sectionOffset: number,
    identity: SectionIdentity,
  ): AsyncGenerator<readonly StreamRecord[], void, void> {
    const cursor = this.#cursor;
    const { sectionId } = identity;
    const { position: offset } = cursor;
    assertRamSection(cursor, sectionOffset, identity);
    const targetPageSize =
      targetPageSizeIn(this.#configuration) ?? this.#pageSize ?? (await this.#fixedPageSize());
    const ram = newRamState(this.#configuration, sectionId, targetPageSize);
    this.#ram = ram;
    const total = await readListWord(cursor, ram);
    const { form } = ram;
    yield [{ type: 'ram-list', offset, length: 8, sectionId, sectionOffset, form, total, targetPageSize }];
    for await (const block of walkRamList(cursor, ram, total)) yield [block];
  }

  /**
   * Finds the page size of a machine that does not name it. When the first header and the vmdescription differ, one of
   * them is damaged: the usual size is the likelier one, and verify reports the other.
   */
  async #fixedPageSize(): Promise<number> {
    const described = await this.#description.targetPageSize(this.#cursor.position);
    const mapped = await mappedPageSize(this.#cursor, this.#configuration);
    if (described !== undefined && mapped !== undefined && described !== mapped) {
      return [described, mapped].includes(DEFAULT_TARGET_PAGE_SIZE) ? DEFAULT_TARGET_PAGE_SIZE : mapped;
    }
    return mapped ?? described ?? DEFAULT_TARGET_PAGE_SIZE;
  }

  /** Walks a device's section. False when the walk ends here. */
  async *#device(offset: number): AsyncGenerator<readonly StreamRecord[], boolean, void> {
    const cursor = this.#cursor;
    const identity = await decodeSectionIdentity(cursor);
    const { idstr, instanceId } = identity;
    const bodyOffset = cursor.position;
    const devices = await this.#devices(bodyOffset, offset);
    if (devices === undefined) {
      yield* this.#opaque(offset, 'without a vmdescription device sections cannot be measured', undefined);
      return false;
    }
    const length = devices.take(idstr, instanceId);
    if (length === undefined) {
      throw cursor.corrupt(`the vmdescription does not describe section ${idstr}/${instanceId}`, { offset });
    }
    const room = Math.max(0, devices.end - bodyOffset - FOOTER_BYTES);
    if (length > room) {
      throw cursor.corrupt(`body of section ${idstr}/${instanceId}`, {
        offset: bodyOffset,
        sectionOffset: offset,
        expected: `at most ${room} bytes`,
        found: length,
      });
    }
    cursor.skip(length);
    yield [await this.#close('full', offset, bodyOffset, identity)];
    return true;
  }

  /** The descriptions of devices, searched for where no guest memory follows. */
  async #devices(from: number, section: number): Promise<DeviceLengths | undefined> {
    const memoryFollows = this.#ram?.form !== 'mapped-ram' && !this.#ramEnded;
    return this.#description.devices(from, section, { forward: !memoryFollows });
  }

  /** Reads the footer and makes the record of the section it closes. */
  async #close(
    kind: SectionKind,
    offset: number,
    bodyOffset: number,
    section: SectionIdentity,
  ): Promise<SectionRecord> {
    const cursor = this.#cursor;
    const footerOffset = cursor.position;
    await takeFooter(cursor, offset, section);
    const length = cursor.position - offset;
    const bodyLength = footerOffset - bodyOffset;
    const { sectionId, idstr, instanceId, versionId } = section;
    const identity = { sectionId, idstr, instanceId, versionId };
    return { type: 'section', kind, offset, length, ...identity, bodyOffset, bodyLength, footerOffset };
  }

  /** Walks everything behind EOF. */
  async *#tail(): AsyncGenerator<readonly StreamRecord[], void, void> {
    const cursor = this.#cursor;
    const records: StreamRecord[] = [];
    const { position: end } = cursor;
    if (cursor.remaining > 0) {
      await cursor.need(1);
      if (cursor.peek() === RECORD.vmdescription) {
        const { position: offset } = cursor;
        await cursor.need(5);
        cursor.skip(1);
        const jsonLength = cursor.u32();
        const jsonOffset = cursor.position;
        cursor.skip(jsonLength);
        const description = this.#description.at(offset);
        const json = description === undefined ? {} : { description };
        records.push({
          type: 'vmdescription',
          offset,
          length: 5 + jsonLength,
          jsonOffset,
          jsonLength,
          ...json,
        });
      }
    }
    const { position: offset, remaining: length } = cursor;
    if (length > 0) records.push({ type: 'trailing', offset, length });
    yield records;
    this.#description.assertServedFrom(end);
  }

  /** Ends the walk at a section that cannot be measured. @param end offset of the vmdescription, if there is one */
  async *#opaque(
    offset: number,
    why: string,
    end: number | undefined,
  ): AsyncGenerator<readonly StreamRecord[], void, void> {
    const cursor = this.#cursor;
    cursor.seek(end ?? cursor.reader.size);
    yield [{ type: 'opaque', offset, length: cursor.position - offset, why }];
    if (end !== undefined) yield* this.#tail();
  }
}
