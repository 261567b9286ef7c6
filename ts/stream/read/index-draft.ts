import { RAM_IDSTR } from '../constants.ts';
import type { Configuration } from '../configuration.ts';
import type { ByteRange } from '../reader.ts';
import type {
  CommandRecord,
  OpaqueRecord,
  RamBlockRecord,
  RamListRecord,
  RamPageRecord,
  SectionRecord,
  StreamRecord,
  VmdescriptionRecord,
} from '../records.ts';
import { assertRecordCount } from './section-rules.ts';

/** Bytes of the body of a RAM section without pages: its EOS word. */
const EMPTY_BODY = 8;

/** A StreamIndex while the walk fills it. */
export interface IndexDraft {
  configuration: Configuration | undefined;
  ram: RamDraft | undefined;
  readonly sections: SectionRecord[];
  readonly commands: CommandRecord[];
  eofOffset: number | undefined;
  vmdescription: VmdescriptionRecord | undefined;
  trailing: ByteRange | undefined;
  opaque: OpaqueRecord | undefined;
}

export interface RamDraft {
  readonly list: RamListRecord;
  readonly blocks: RamBlockRecord[];
  readonly sections: ByteRange[];
  readonly pages: { zero: number; page: number; xbzrle: number; compressed: number };
  startEnd: number | undefined;
  /** Offset of the first PART or END section. */
  continuedAt: number | undefined;
  ended: boolean;
  /** RAM's last section, if it is a PART without pages that others went before. */
  emptyPart: ByteRange | undefined;
}

export function newIndexDraft(): IndexDraft {
  return {
    configuration: undefined,
    ram: undefined,
    sections: [],
    commands: [],
    eofOffset: undefined,
    vmdescription: undefined,
    trailing: undefined,
    opaque: undefined,
  };
}

/** Adds a record of the walk. @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT for more records than an index takes */
export function addRecord(draft: IndexDraft, record: StreamRecord, path: string): void {
  const { offset } = record;
  assertRecordCount(draft.commands.length + draft.sections.length, path, offset);
  switch (record.type) {
    case 'header':
      break;
    case 'configuration':
      draft.configuration = record.configuration;
      break;
    case 'command':
      draft.commands.push(record);
      break;
    case 'section':
      addSection(draft, record);
      break;
    case 'ram-list':
      draft.ram = {
        list: record,
        blocks: [],
        sections: [],
        pages: { zero: 0, page: 0, xbzrle: 0, compressed: 0 },
        startEnd: undefined,
        continuedAt: undefined,
        ended: false,
        emptyPart: undefined,
      };
      break;
    case 'ram-block':
      draft.ram?.blocks.push(record);
      break;
    case 'ram-page':
      countPage(draft.ram, record);
      break;
    case 'eof':
      draft.eofOffset = record.offset;
      break;
    case 'vmdescription':
      draft.vmdescription = record;
      break;
    case 'trailing':
      draft.trailing = { offset: record.offset, length: record.length };
      break;
    case 'opaque':
      draft.opaque = record;
      break;
    default:
      record satisfies never;
  }
}

function countPage(ram: RamDraft | undefined, { kind }: RamPageRecord): void {
  if (ram !== undefined) ram.pages[kind] += 1;
}

function addSection(draft: IndexDraft, section: SectionRecord): void {
  const { ram, sections } = draft;
  if (section.idstr !== RAM_IDSTR || section.kind === 'full' || ram === undefined) {
    const last = sections.at(-1);
    if (last !== undefined && joins(last, section, ram))
      sections[sections.length - 1] = joined(last, section);
    else sections.push(section);
    return;
  }
  const range = { offset: section.offset, length: section.length };
  // PARTs that touch are one range: a file may have any number of them.
  const last = ram.sections.at(-1);
  const isMore = section.kind === 'part' && ram.continuedAt !== undefined;
  if (isMore && last !== undefined && endOf(last) === range.offset) {
    ram.sections[ram.sections.length - 1] = { offset: last.offset, length: last.length + range.length };
  } else {
    ram.sections.push(range);
  }
  ram.emptyPart = isMore && section.bodyLength === EMPTY_BODY ? range : undefined;
  if (section.kind === 'start') {
    ram.startEnd = endOf(section);
  } else {
    ram.continuedAt ??= section.offset;
    ram.ended ||= section.kind === 'end';
  }
}

/**
 * Tells whether two PARTs of live state become one record: QEMU writes them by the ten thousand (docs/format.md §1.8).
 * An empty PART of RAM between them becomes part of the record.
 */
function joins(last: SectionRecord, section: SectionRecord, ram: RamDraft | undefined): boolean {
  if (last.kind !== 'part' || section.kind !== 'part') return false;
  const gap = section.offset - endOf(last);
  if (gap === 0) return true;
  const between = ram?.emptyPart;
  if (ram === undefined || between?.offset !== endOf(last) || between.length !== gap) return false;
  if (ram.sections.at(-1) !== between) return false;
  ram.sections.pop();
  return true;
}

function joined(last: SectionRecord, section: SectionRecord): SectionRecord {
  const { footerOffset } = section;
  const length = endOf(section) - last.offset;
  return { ...last, length, footerOffset, bodyLength: footerOffset - last.bodyOffset };
}

function endOf({ offset, length }: ByteRange): number {
  return offset + length;
}
