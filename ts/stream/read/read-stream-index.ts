import { MappedRamError } from '../../errors.ts';
import { MAX_VMDESCRIPTION_BYTES } from '../constants.ts';
import type { RandomAccessReader } from '../reader.ts';
import { addRecord, newIndexDraft, type RamDraft } from './index-draft.ts';
import type { RamBlockRecord, VmdescriptionRecord } from '../records.ts';
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
export function isAboutTheFile(error: unknown): error is MappedRamError {
  if (!(error instanceof MappedRamError)) return false;
  return (
    error.code === 'ERR_MAPPED_RAM_CORRUPT' ||
    error.code === 'ERR_MAPPED_RAM_TRUNCATED' ||
    error.code === 'ERR_MAPPED_RAM_UNSUPPORTED' ||
    error.code === 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION'
  );
}

/** Makes RAM's entry in the index. */
export function finishRam({ list, blocks, sections, pages, startEnd, ended }: RamDraft): RamIndex {
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
