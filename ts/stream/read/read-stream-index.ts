import { MappedRamError } from '../../errors.ts';
import { MAX_VMDESCRIPTION_BYTES, RAM_IDSTR } from '../constants.ts';
import type { Configuration } from '../configuration.ts';
import type { ByteRange, RandomAccessReader } from '../reader.ts';
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
import type { IndexedVmdescription, RamIndex, StreamIndex } from '../stream-index.ts';
import { parseVmdescription } from '../vmdescription/vmdescription.ts';
import { walkBatches, type WalkOptions } from './walk.ts';

/**
 * Reads the parts of a stream and their places, in one walk. A file that is cut off or damaged gives the parts that
 * could be read, with `complete: false` and the reason in `problem`. A block is listed only when its bitmap and all of
 * its pages lie in the file.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC, or whatever else is wrong before the end of CONFIGURATION (then
 *   there is nothing to give); and the reader's errors
 */
export async function readStreamIndex(
  reader: RandomAccessReader,
  options: WalkOptions = {},
): Promise<StreamIndex> {
  const draft = newIndexDraft();
  let problem: MappedRamError | undefined;
  try {
    for await (const batch of walkBatches(reader, options)) {
      for (const record of batch) addRecord(draft, record, reader.name);
    }
  } catch (error) {
    if (draft.configuration === undefined || !isAboutTheFile(error)) throw error;
    problem = error;
  }
  const { configuration, opaque } = draft;
  if (configuration === undefined)
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a walk without CONFIGURATION');
  if (opaque !== undefined) {
    const message = `cannot tell whether the stream is complete: ${opaque.why}`;
    problem ??= new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', message, {
      path: reader.name,
      offset: opaque.offset,
    });
  }
  const memoryFrom = draft.ram?.continuedAt ?? 0;
  return {
    base: options.offset ?? 0,
    size: reader.size,
    machine: configuration.machine,
    capabilities: configuration.capabilities,
    configuration,
    ram: draft.ram === undefined ? undefined : finishRam(draft.ram),
    sections: draft.sections.map((section) => Object.assign(section, { early: section.offset < memoryFrom })),
    commands: draft.commands,
    eofOffset: draft.eofOffset,
    vmdescription: await readDescription(reader, draft.vmdescription),
    trailing: draft.trailing,
    opaque,
    complete: problem === undefined,
    problem,
  };
}

/**
 * Tells errors about the file from others. I/O errors are the caller's business: they say nothing about the file's
 * content.
 */
function isAboutTheFile(error: unknown): error is MappedRamError {
  if (!(error instanceof MappedRamError)) return false;
  return (
    error.code === 'ERR_MAPPED_RAM_CORRUPT' ||
    error.code === 'ERR_MAPPED_RAM_TRUNCATED' ||
    error.code === 'ERR_MAPPED_RAM_UNSUPPORTED' ||
    error.code === 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION'
  );
}

function addRecord(draft: IndexDraft, record: StreamRecord, path: string): void {
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
  const { ram } = draft;
  if (section.idstr !== RAM_IDSTR || section.kind === 'full' || ram === undefined) {
    draft.sections.push(section);
    return;
  }
  const range = { offset: section.offset, length: section.length };
  // PARTs that touch are one range: a file may have any number of them.
  const last = ram.sections.at(-1);
  if (
    section.kind === 'part' &&
    last !== undefined &&
    last.offset + last.length === range.offset &&
    ram.continuedAt !== undefined
  ) {
    ram.sections[ram.sections.length - 1] = { offset: last.offset, length: last.length + range.length };
  } else {
    ram.sections.push(range);
  }
  if (section.kind === 'start') {
    ram.startEnd = section.offset + section.length;
  } else {
    ram.continuedAt ??= section.offset;
    ram.ended ||= section.kind === 'end';
  }
}

function finishRam({ list, blocks, sections, pages, startEnd, ended }: RamDraft): RamIndex {
  const { sectionId, targetPageSize, total, sectionOffset } = list;
  const common = { sectionId, targetPageSize, total, offset: sectionOffset, startEnd, sections, ended };
  if (list.form === 'plain')
    return { form: 'plain', ...common, blocks: blocks.map((block) => plainBlock(block)), pages };
  const mapped = blocks.flatMap((block) =>
    block.mapped === undefined ? [] : [{ ...plainBlock(block), ...block.mapped, entryOffset: block.offset }],
  );
  return { form: 'mapped-ram', ...common, blocks: mapped };
}

function plainBlock({ id, blockLength, address, pageSize }: RamBlockRecord): {
  readonly id: string;
  readonly length: number;
  readonly address?: number;
  readonly pageSize?: number;
} {
  return {
    id,
    length: blockLength,
    ...(address === undefined ? {} : { address }),
    ...(pageSize === undefined ? {} : { pageSize }),
  };
}

async function readDescription(
  reader: RandomAccessReader,
  record: VmdescriptionRecord | undefined,
): Promise<IndexedVmdescription | undefined> {
  if (record === undefined) return undefined;
  const { offset, length, jsonOffset, jsonLength, description } = record;
  let json = description;
  if (json === undefined && jsonLength > 0 && jsonLength <= MAX_VMDESCRIPTION_BYTES) {
    json = parseVmdescription(await reader.read(jsonOffset, jsonLength));
  }
  return { offset, length, jsonOffset, jsonLength, json };
}

/** A StreamIndex while the walk fills it. */
interface IndexDraft {
  configuration: Configuration | undefined;
  ram: RamDraft | undefined;
  readonly sections: SectionRecord[];
  readonly commands: CommandRecord[];
  eofOffset: number | undefined;
  vmdescription: VmdescriptionRecord | undefined;
  trailing: ByteRange | undefined;
  opaque: OpaqueRecord | undefined;
}

interface RamDraft {
  readonly list: RamListRecord;
  readonly blocks: RamBlockRecord[];
  readonly sections: ByteRange[];
  readonly pages: { zero: number; page: number; xbzrle: number; compressed: number };
  startEnd: number | undefined;
  /** Offset of the first PART or END section. */
  continuedAt: number | undefined;
  ended: boolean;
}

function newIndexDraft(): IndexDraft {
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
