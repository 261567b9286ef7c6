import { MappedRamError } from '../errors.ts';
import type { OpenSource } from '../io/open-source.ts';
import { openBase } from '../snapshot/delta-base.ts';
import type { OpenedSource } from '../snapshot/snapshot-source.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import { problemFinding } from './check-stream.ts';
import type { Finding } from './finding.ts';
import { unreadableFinding } from './scan-pages.ts';

/** Length in bytes of the magic and the version. A file with a defect there is no migration stream. */
const FILE_HEADER_BYTES = 8;

/** Returns undefined, and adds a finding, when the stream breaks off in its first records. */
export async function readIndex(
  reader: OpenSource,
  base: number,
  findings: Finding[],
): Promise<StreamIndex | undefined> {
  try {
    return await readStreamIndex(reader, { offset: base });
  } catch (error) {
    if (!(error instanceof MappedRamError) || (error.offset ?? base) < base + FILE_HEADER_BYTES) throw error;
    const finding = error.code === 'ERR_MAPPED_RAM_IO' ? unreadableFinding(error) : problemFinding(error);
    if (finding === undefined) throw error;
    findings.push(finding);
    return undefined;
  }
}

/**
 * Puts the base under a delta. Disposal closes the base. A delta that breaks off before it names its base stays alone:
 * that it breaks off is the finding.
 * @param index of the opened stream; undefined when it breaks off in its first records
 * @throws {MappedRamError} as `openBase`
 */
export async function withBase(
  opened: OpenedSource,
  index: StreamIndex | undefined,
): Promise<OpenedSource & AsyncDisposable> {
  const alone = { ...opened, [Symbol.asyncDispose]: async () => undefined };
  if (index === undefined) return alone;
  try {
    const layered = await openBase(opened, index);
    if (layered === undefined) return alone;
    const { reader, base } = layered;
    return { ...opened, reader, [Symbol.asyncDispose]: () => base.reader.close() };
  } catch (error) {
    const isCutOff = index.problem !== undefined;
    if (isCutOff && error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_INCOMPLETE')
      return alone;
    throw error;
  }
}
