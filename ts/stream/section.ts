import { ByteWriter } from './write/byte-writer.ts';
import { RECORD } from './constants.ts';
import type { StreamCursor } from './read/stream-cursor.ts';
import { encodeName } from './text.ts';

/** A section's part in saving a state: devices have `full` sections, RAM has the others (docs/format.md §1.1). */
export type SectionKind = 'start' | 'part' | 'end' | 'full';

/** The kind that a section's type byte says. */
export function sectionKind(type: number): SectionKind {
  if (type === RECORD.sectionStart) return 'start';
  if (type === RECORD.sectionPart) return 'part';
  return type === RECORD.sectionEnd ? 'end' : 'full';
}

/** A section's identity, as its START or FULL section tells it (docs/format.md §1.1). */
export interface SectionIdentity {
  readonly sectionId: number;
  readonly idstr: string;
  readonly instanceId: number;
  readonly versionId: number;
}

/** Reads the header of a START or FULL section, behind its type byte. */
export async function decodeSectionIdentity(cursor: StreamCursor): Promise<SectionIdentity> {
  await cursor.need(4);
  const sectionId = cursor.u32();
  const idstr = await cursor.name('name of a section');
  await cursor.need(8);
  return { sectionId, idstr, instanceId: cursor.u32(), versionId: cursor.u32() };
}

/** Encodes type byte and header of a START or FULL section; the body and `encodeFooter` follow. */
export function encodeSectionHeader(kind: 'start' | 'full', section: SectionIdentity): Uint8Array {
  const name = encodeName(section.idstr, 'section name');
  return new ByteWriter()
    .u8(kind === 'start' ? RECORD.sectionStart : RECORD.sectionFull)
    .u32(section.sectionId)
    .u8(name.length)
    .bytes(name)
    .u32(section.instanceId)
    .u32(section.versionId)
    .finish();
}

/** Encodes type byte and header of a PART or END section; the body and `encodeFooter` follow. */
export function encodeSectionContinuation(kind: 'part' | 'end', sectionId: number): Uint8Array {
  return new ByteWriter()
    .u8(kind === 'part' ? RECORD.sectionPart : RECORD.sectionEnd)
    .u32(sectionId)
    .finish();
}

export function encodeFooter(sectionId: number): Uint8Array {
  return new ByteWriter().u8(RECORD.footer).u32(sectionId).finish();
}

/** Encodes the byte that ends the section loop. */
export function encodeEof(): Uint8Array {
  return Uint8Array.of(RECORD.eof);
}

/** Encodes the vmdescription record: the last thing in a file (docs/format.md §1.5). */
export function encodeVmdescription(json: Uint8Array): Uint8Array {
  return new ByteWriter().u8(RECORD.vmdescription).u32(json.length).bytes(json).finish();
}
