import { MappedRamError } from '../../errors.ts';
import { FOOTER_BYTES, MAX_RECORDS, RAM_INSTANCE, RAM_VERSION, RECORD } from '../constants.ts';
import type { SectionIdentity } from '../section.ts';
import type { StreamCursor } from './stream-cursor.ts';

// Rules for the records of a stream, whether it is read at offsets or out of a pipe.

/**
 * Refuses more records than an index takes.
 * @param count of sections and commands, those of RAM left out
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT
 */
export function assertRecordCount(count: number, path: string, offset: number): void {
  if (count <= MAX_RECORDS) return;
  throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `more than ${MAX_RECORDS} sections and commands`, {
    path,
    offset,
  });
}

/**
 * Refuses a RAM section of another instance or version.
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT, ERR_MAPPED_RAM_UNSUPPORTED_VERSION
 */
export function assertRamSection(
  cursor: StreamCursor,
  offset: number,
  { instanceId, versionId }: SectionIdentity,
): void {
  if (instanceId !== RAM_INSTANCE) {
    throw cursor.corrupt('instance of the RAM section', {
      offset,
      expected: RAM_INSTANCE,
      found: instanceId,
    });
  }
  if (versionId === RAM_VERSION) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', 'version of the RAM section', {
    path: cursor.reader.name,
    offset,
    expected: RAM_VERSION,
    found: versionId,
  });
}

/** The error for a section of live state whose end cannot be found. @param offset of the section */
export function unmeasured({ idstr }: SectionIdentity, path: string, offset: number): MappedRamError {
  const message = `cannot tell whether the stream is complete: nothing describes the body of section ${idstr}`;
  return new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', message, { path, offset });
}

/**
 * Takes the footer of a section.
 * @param offset of the section
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT
 */
export async function takeFooter(
  cursor: StreamCursor,
  offset: number,
  { sectionId, idstr, instanceId }: SectionIdentity,
): Promise<void> {
  const { position } = cursor;
  await cursor.need(FOOTER_BYTES);
  const type = cursor.u8();
  const id = cursor.u32();
  if (type === RECORD.footer && id === sectionId) return;
  throw cursor.corrupt(`no footer after the body of section ${idstr}/${instanceId}`, {
    offset: position,
    sectionOffset: offset,
    expected: footerText(RECORD.footer, sectionId),
    found: footerText(type, id),
  });
}

function footerText(type: number, id: number): string {
  return `0x${type.toString(16)} with section id ${id}`;
}
