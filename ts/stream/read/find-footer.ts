import { MappedRamError } from '../../errors.ts';
import { FOOTER_BYTES, RECORD } from '../constants.ts';
import { truncated, type RandomAccessReader } from '../reader.ts';
import type { SectionIdentity } from '../section.ts';

/** The longest body, in bytes, that is looked through; virtio-mem's has some bytes. */
const MAX_BODY = 16 * 1024 * 1024;
const STEP = 64 * 1024;
/**
 * Bytes of the record behind that the search has to see: its type, and an id and the length of a name, or a command's
 * number.
 */
const LOOK = 6;
const MAX_COMMAND = 11;

/**
 * Guesses the end of a device section's body that starts at `offset`, by its footer and the record that follows. The
 * guess is hardly ever wrong. Nothing else tells the end before the vmdescription has come; the caller checks the guess
 * later.
 * @param started ids of the sections that can go on
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when there is no such place in 16 MiB, ERR_MAPPED_RAM_TRUNCATED
 *   when the source ends before, and the reader's errors
 */
export async function findFooter(
  reader: RandomAccessReader,
  offset: number,
  { sectionId, idstr }: SectionIdentity,
  started: readonly number[],
): Promise<number> {
  for (let size = STEP; ; size *= 4) {
    const wanted = Math.min(size, MAX_BODY, reader.size - offset);
    const bytes = await reader.read(offset, wanted);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let found = bytes.indexOf(RECORD.footer);
    while (found !== -1 && found + FOOTER_BYTES + LOOK <= bytes.length) {
      const isFooter = view.getUint32(found + 1) === sectionId;
      if (isFooter && isRecord(view, found + FOOTER_BYTES, started)) return offset + found;
      found = bytes.indexOf(RECORD.footer, found + 1);
    }
    if (offset + bytes.length >= reader.size)
      throw truncated(reader.name, offset, size, reader.size, reader.kind);
    if (size >= MAX_BODY) break;
  }
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `the body of section ${idstr} cannot be measured`, {
    path: reader.name,
    offset,
    expected: `its footer and another record within ${MAX_BODY} bytes`,
  });
}

function isRecord(view: DataView, offset: number, started: readonly number[]): boolean {
  switch (view.getUint8(offset)) {
    case RECORD.sectionPart:
    case RECORD.sectionEnd:
      return started.includes(view.getUint32(offset + 1));
    case RECORD.sectionStart:
    case RECORD.sectionFull:
      return !started.includes(view.getUint32(offset + 1)) && view.getUint8(offset + 5) > 0;
    case RECORD.command: {
      const command = view.getUint16(offset + 1);
      return command >= 1 && command <= MAX_COMMAND;
    }
    default:
      return false;
  }
}
