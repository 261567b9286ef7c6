import { decodeFileHeader } from '../configuration.ts';
import { FOOTER_BYTES, RECORD } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { SectionRecord } from '../records.ts';
import { decodeSectionIdentity, type SectionIdentity } from '../section.ts';
import { type ChainedSection, type PossibleSection, SectionChains } from './section-chains.ts';
import { StreamCursor } from './stream-cursor.ts';

/** Bytes that are looked through at once. */
const WINDOW = 256 * 1024;
/** Bytes of the longest header: type, section id, length of the name; name; instance and version. */
const MAX_HEADER = 6 + 255 + 8;

/**
 * Divides device state alone into its sections (docs/format.md §4.4): magic and version, FULL sections, the byte that
 * ends them, which is the source's last. No section has a length, so its footer has to tell where it ends: a footer
 * names its section's id, and behind it stands another section's header, or the end. A device may hold such bytes, too.
 * So all ways to the end count, and there has to be exactly one. Memory does not grow with the source, time grows in
 * proportion to it, whatever is in it.
 *
 * @returns the sections in the source's order, with absolute offsets
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when no way leads to the end, or two sections have one name;
 *   ERR_MAPPED_RAM_UNSUPPORTED when several ways do, as with two sections of one id; ERR_MAPPED_RAM_BAD_MAGIC, ERR_MAPPED_RAM_UNSUPPORTED_VERSION,
 *   ERR_MAPPED_RAM_TRUNCATED; and the reader's errors
 */
export async function splitFullSections(reader: RandomAccessReader): Promise<readonly SectionRecord[]> {
  const cursor = new StreamCursor(reader, 0);
  await decodeFileHeader(cursor);
  const sections: SectionRecord[] = [];
  const names = new Set<string>();
  for (const found of await chainFrom(reader, cursor.position)) {
    cursor.seek(found.offset + 1);
    const section = recordOf(found, await decodeSectionIdentity(cursor));
    const { idstr, instanceId, offset } = section;
    if (names.has(`${instanceId}/${idstr}`))
      throw cursor.corrupt(`section ${idstr}/${instanceId} comes twice`, { offset });
    names.add(`${instanceId}/${idstr}`);
    sections.push(section);
  }
  return sections;
}

/** Finds the only way from the first section, at `start`, to the source's end. */
async function chainFrom(reader: RandomAccessReader, start: number): Promise<readonly ChainedSection[]> {
  const { size } = reader;
  const chains = new SectionChains(reader.name, start);
  for (let from = start; from < size; from += WINDOW) {
    const length = Math.min(WINDOW + FOOTER_BYTES + MAX_HEADER, size - from);
    const bytes = await reader.read(from, length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (from === start) {
      // Without any section, the first byte is the last.
      if (isEnd(view, 0, size - from)) return [];
      const first = sectionAt(view, 0, from);
      if (first === undefined) throw chains.noWay();
      chains.begin(first);
    }
    const last = Math.min(WINDOW, length - FOOTER_BYTES);
    for (let at = bytes.indexOf(RECORD.footer); at !== -1 && at < last;) {
      const before = chains.endedBy(view.getUint32(at + 1), from + at);
      if (before !== undefined) {
        const behind = at + FOOTER_BYTES;
        if (isEnd(view, behind, size - from)) return chains.only(before, from + behind);
        const section = sectionAt(view, behind, from);
        if (section !== undefined) chains.add(before, section);
      }
      at = bytes.indexOf(RECORD.footer, at + 1);
    }
  }
  throw chains.noWay();
}

/** Tells whether the byte at `at` is the one that ends the sections. @param end the place behind the source's last */
function isEnd(view: DataView, at: number, end: number): boolean {
  return at === end - 1 && view.getUint8(at) === RECORD.eof;
}

/**
 * The FULL section whose header is at `at`, if one can be there. More than QEMU writes passes: a header that was not
 * counted would hide the right way.
 * @param base offset of the view in the source
 */
function sectionAt(view: DataView, at: number, base: number): PossibleSection | undefined {
  if (at + 6 > view.byteLength || view.getUint8(at) !== RECORD.sectionFull) return undefined;
  const length = view.getUint8(at + 5);
  const nameEnd = at + 6 + length;
  if (length === 0 || nameEnd + 8 > view.byteLength) return undefined;
  for (let index = at + 6; index < nameEnd; index += 1) {
    const byte = view.getUint8(index);
    if (byte < 0x20 || byte === 0x7f) return undefined;
  }
  return { offset: base + at, sectionId: view.getUint32(at + 1), bodyOffset: base + nameEnd + 8 };
}

function recordOf(
  { offset, bodyOffset, footerOffset }: ChainedSection,
  { sectionId, idstr, instanceId, versionId }: SectionIdentity,
): SectionRecord {
  const identity = { sectionId, idstr, instanceId, versionId };
  const length = footerOffset + FOOTER_BYTES - offset;
  const bodyLength = footerOffset - bodyOffset;
  return { type: 'section', kind: 'full', offset, length, ...identity, bodyOffset, bodyLength, footerOffset };
}
