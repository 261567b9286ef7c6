import type { RandomAccessReader } from '../reader.ts';
import type { StreamHead } from '../stream-index.ts';
import { addRecord, newIndexDraft } from './index-draft.ts';
import { finishRam, isAboutTheFile } from './read-stream-index.ts';
import { walkBatches, type WalkOptions } from './walk.ts';

/**
 * Reads the beginning of a stream that may still be written: up to the end of RAM's block list, and nothing behind.
 *
 * @param options `targetPageSize` keeps the walk from looking for the page size at the stream's end, which may not be
 *   there yet
 * @returns undefined when the file ends before, or cannot be understood so far: what is wrong with it shows when it is
 *   whole
 * @throws {MappedRamError} the reader's errors
 */
export async function readStreamHead(
  reader: RandomAccessReader,
  options: WalkOptions,
): Promise<StreamHead | undefined> {
  const draft = newIndexDraft();
  try {
    for await (const batch of walkBatches(reader, options)) {
      for (const record of batch) addRecord(draft, record, reader.name);
      const { configuration, commands, ram } = draft;
      // The section of the list has been closed.
      if (configuration !== undefined && ram?.startEnd !== undefined) {
        return { configuration, commands, ram: finishRam(ram) };
      }
    }
  } catch (error) {
    if (!isAboutTheFile(error)) throw error;
  }
  return undefined;
}
