import { FOOTER_BYTES, MAX_RECORDS, RAM_FLAG, RECORD } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { StreamIndex } from '../stream-index.ts';
import { decodeName } from '../text.ts';

/** A FULL section that the walk did not reach. */
interface FoundSection {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly bodyOffset: number;
  /** Length of the body in bytes; undefined when its end was not found. */
  readonly bodyLength: number | undefined;
  /** True for a section before the end of RAM. */
  readonly early: boolean;
}

/** The most bytes that a search goes through. */
const MAX_SCAN = 64 * 1024 * 1024;
/** Bytes that the first read of a body takes: most devices' state is small. */
const FIRST_WINDOW = 4 * 1024;
const MAX_WINDOW = 1024 * 1024;
/** The most footers that are tried: a hostile file can hold any number of things that look like one. */
const MAX_CANDIDATES = 4096;

/** Bytes of a PART or END section of RAM that brings no page: type, section id, the word EOS, footer. */
const EMPTY_RAM_BYTES = 5 + 8 + FOOTER_BYTES;
const MAX_EMPTY_RAM = 1024;

/** The most bytes of a header: type, section id, length of the name; name; instance and version. */
const MAX_HEADER = 6 + 255 + 8;

/**
 * Finds device sections behind the place where a walk had to stop, for want of a vmdescription that fits. Their footers
 * tell them: a footer names its section's id, and another section's header or the end of the stream follows it. Such
 * bytes in the middle of a device's state are possible, though not to be expected.
 * @throws the reader's errors
 */
export async function findSections(
  reader: RandomAccessReader,
  index: StreamIndex,
): Promise<readonly FoundSection[]> {
  if (index.problem === undefined) return [];
  const scan = new Scan(reader);
  const found: FoundSection[] = [];
  const start = endOfWalk(index);
  let early = index.ram?.ended === false;
  let header = await scan.header(start);
  while (header !== undefined && found.length < MAX_RECORDS) {
    const footer = await scan.footer(header, start + MAX_SCAN);
    const { name, instanceId, version, bodyOffset } = header;
    const bodyLength = footer === undefined ? undefined : footer - bodyOffset;
    found.push({ name, instanceId, version, bodyOffset, bodyLength, early });
    if (footer === undefined) break;
    const end = footer + FOOTER_BYTES;
    const next = await scan.pastRam(end);
    early &&= next === end;
    header = await scan.header(next);
  }
  return found;
}

/** The end of the last record that the walk could read. */
export function endOfWalk({ base, sections, commands, ram }: StreamIndex): number {
  const records = [...sections, ...commands, ...(ram?.sections ?? [])];
  return records.reduce((end, { offset, length }) => Math.max(end, offset + length), base);
}

interface Header {
  readonly sectionId: number;
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly bodyOffset: number;
}

class Scan {
  readonly #reader: RandomAccessReader;
  #candidates = 0;

  constructor(reader: RandomAccessReader) {
    this.#reader = reader;
  }

  /** The header of a FULL section at `offset`, if there is one. */
  async header(offset: number): Promise<Header | undefined> {
    const { name: path } = this.#reader;
    const bytes = await this.#read(offset, MAX_HEADER);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 6 || view.getUint8(0) !== RECORD.sectionFull) return undefined;
    const length = view.getUint8(5);
    const size = 6 + length + 8;
    if (length === 0 || bytes.length < size) return undefined;
    let name: string;
    try {
      name = decodeName(bytes.subarray(6, 6 + length), 'name of a section', path, offset);
    } catch {
      return undefined;
    }
    const [instanceId, version] = [view.getUint32(6 + length), view.getUint32(10 + length)];
    return { sectionId: view.getUint32(1), name, instanceId, version, bodyOffset: offset + size };
  }

  /** Skips the records between early devices and the others (docs/format.md §1.4), if they bring no page. */
  async pastRam(offset: number): Promise<number> {
    let at = offset;
    for (let count = 0; count < MAX_EMPTY_RAM; count += 1) {
      const bytes = await this.#read(at, EMPTY_RAM_BYTES);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const [type] = bytes;
      if (type === RECORD.command && bytes.length >= 5) at += 5 + view.getUint16(3);
      else if (isEmptyRam(view)) at += EMPTY_RAM_BYTES;
      else break;
    }
    return at;
  }

  /** Offset of the footer that ends the section. */
  async footer({ sectionId, bodyOffset }: Header, limit: number): Promise<number | undefined> {
    const end = Math.min(this.#reader.size, limit);
    let window = FIRST_WINDOW;
    for (let start = bodyOffset; start < end;) {
      // A footer may reach over the window's end.
      const bytes = await this.#read(start, window + FOOTER_BYTES - 1);
      const at = await this.#footerIn(bytes, start, sectionId);
      if (at !== undefined) return at;
      start += window;
      window = Math.min(MAX_WINDOW, window * 2);
    }
    return undefined;
  }

  async #footerIn(bytes: Uint8Array, start: number, sectionId: number): Promise<number | undefined> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = bytes.indexOf(RECORD.footer);
    while (at !== -1 && at + FOOTER_BYTES <= bytes.length && this.#candidates < MAX_CANDIDATES) {
      if (view.getUint32(at + 1) === sectionId) {
        this.#candidates += 1;
        if (await this.#followed(start + at + FOOTER_BYTES)) return start + at;
      }
      at = bytes.indexOf(RECORD.footer, at + 1);
    }
    return undefined;
  }

  /** Tells whether something that can follow a section is at `offset`. */
  async #followed(offset: number): Promise<boolean> {
    const [type, next] = await this.#read(offset, 2);
    if (type === RECORD.sectionFull) return (await this.header(offset)) !== undefined;
    if (type === RECORD.eof) return next === undefined || next === RECORD.vmdescription;
    return type === RECORD.sectionPart || type === RECORD.sectionEnd || type === RECORD.command;
  }

  /** Reads the bytes that there are of `length`. */
  async #read(offset: number, length: number): Promise<Uint8Array> {
    const room = Math.max(0, this.#reader.size - offset);
    return this.#reader.read(offset, Math.min(length, room));
  }
}

function isEmptyRam(view: DataView): boolean {
  if (view.byteLength < EMPTY_RAM_BYTES) return false;
  const type = view.getUint8(0);
  return (
    (type === RECORD.sectionPart || type === RECORD.sectionEnd) &&
    view.getBigUint64(5) === BigInt(RAM_FLAG.eos) &&
    view.getUint8(13) === RECORD.footer &&
    view.getUint32(14) === view.getUint32(1)
  );
}
