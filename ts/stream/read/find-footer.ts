import { isCommandHead } from '../command.ts';
import { FOOTER_BYTES, RAM_FLAG, RECORD } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { SectionIdentity } from '../section.ts';
import type { RamState } from './ram-state.ts';
import { CURSOR_WINDOW } from './stream-cursor.ts';
import type { StartedSections } from './started-sections.ts';

/** The facts that tell what may follow a section. */
export interface Surroundings {
  readonly started: StartedSections;
  /** RAM, once its block list has been read. */
  readonly ram: RamState | undefined;
  /** Tells whether the vmdescription describes a device; undefined without a vmdescription at hand. */
  readonly describes: ((idstr: string, instanceId: number) => boolean) | undefined;
}

/** The longest body, in bytes, that is looked through where a vmdescription proves that the stream has an end. */
export const MAX_BODY: number = 1024 * 1024 * 1024;
/** Most bodies are short, and there may be ten thousands of them. */
const FIRST_STEP = 256;
/** Bytes of the longest head behind a footer that the search looks at: a section's, with its name. */
const LOOK = 1 + 4 + 1 + 255 + 8;
const LAST_STEP = CURSOR_WINDOW - FOOTER_BYTES - LOOK;
const BRACE_OPEN = 0x7b;

/**
 * Finds the end of a body that nothing measures and that starts at `offset`: its footer, with a record behind it that
 * can stand there (docs/format.md §1.8). That is hardly ever somewhere inside the body, and if it is, the walk does not
 * get to the end of the stream.
 * @returns the footer's offset; undefined when there is no such place up to `most` bytes or the end of the source
 * @throws {MappedRamError} the reader's errors
 */
export async function findFooter(
  reader: RandomAccessReader,
  offset: number,
  { sectionId }: SectionIdentity,
  surroundings: Surroundings,
  most: number,
): Promise<number | undefined> {
  let step = FIRST_STEP;
  for (let from = offset; from < offset + most; step = Math.min(step * 2, LAST_STEP)) {
    const wanted = Math.min(step + FOOTER_BYTES + LOOK, reader.size - from);
    const bytes = await reader.read(from, wanted);
    const isLast = from + bytes.length >= reader.size;
    const end = isLast ? bytes.length : step;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = bytes.indexOf(RECORD.footer); at !== -1 && at < end;) {
      const behind = at + FOOTER_BYTES;
      const isFooter = behind < bytes.length && view.getUint32(at + 1) === sectionId;
      if (isFooter && isRecord(view, behind, isLast, surroundings)) return from + at;
      at = bytes.indexOf(RECORD.footer, at + 1);
    }
    if (isLast) return undefined;
    from += step;
  }
  return undefined;
}

/** Tells whether a record that can stand here begins at `at`. @param isLast true when the view ends with the source */
function isRecord(view: DataView, at: number, isLast: boolean, surroundings: Surroundings): boolean {
  const left = view.byteLength - at;
  switch (view.getUint8(at)) {
    case RECORD.sectionPart:
    case RECORD.sectionEnd:
      return left > 5 && isContinued(view, at, surroundings);
    case RECORD.sectionStart:
      return isNewSection(view, at, surroundings, undefined);
    case RECORD.sectionFull:
      return isNewSection(view, at, surroundings, surroundings.describes);
    case RECORD.command:
      return left >= 5 && isCommandHead(view.getUint16(at + 1), view.getUint16(at + 3));
    case RECORD.eof:
      if (left === 1) return isLast;
      return (
        left >= 7 && view.getUint8(at + 1) === RECORD.vmdescription && view.getUint8(at + 6) === BRACE_OPEN
      );
    default:
      return false;
  }
}

/** Tells whether a section goes on here that has started. RAM's has a word behind its id that says more. */
function isContinued(view: DataView, at: number, { started, ram }: Surroundings): boolean {
  const sectionId = view.getUint32(at + 1);
  if (!started.has(sectionId)) return false;
  if (sectionId !== ram?.sectionId) return true;
  if (view.byteLength - at < 13) return false;
  const flags = view.getUint32(at + 9) % ram.targetPageSize;
  if (flags === RAM_FLAG.eos) return true;
  const kind = flags & ~RAM_FLAG.continue;
  return ram.form === 'plain' && PAGE_FLAGS.has(kind);
}

const PAGE_FLAGS: ReadonlySet<number> = new Set([
  RAM_FLAG.zero,
  RAM_FLAG.page,
  RAM_FLAG.xbzrle,
  RAM_FLAG.compressPage,
]);

/** Tells whether a section starts here: its id is new, its name is text, and the vmdescription, if any, has it. */
function isNewSection(
  view: DataView,
  at: number,
  { started }: Surroundings,
  describes: Surroundings['describes'],
): boolean {
  if (view.byteLength - at < 6) return false;
  const length = view.getUint8(at + 5);
  const nameEnd = at + 6 + length;
  if (length === 0 || nameEnd + 8 > view.byteLength || started.has(view.getUint32(at + 1))) return false;
  const name = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at + 6, length));
  if (!/^[\x20-\x7e]+$/.test(name)) return false;
  return describes === undefined || describes(name, view.getUint32(nameEnd));
}
