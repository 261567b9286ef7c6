import { composeMessage, MappedRamError, type ErrorCode } from '../errors.ts';
import { POSTCOPY_ADVISE, SWITCHOVER_START } from '../stream/command.ts';
import { walkBatches } from '../stream/read/walk.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import type { StreamIndex } from '../stream/stream-index.ts';
import type { Finding, FindingCode } from './finding.ts';

const CODES: Partial<Record<ErrorCode, FindingCode>> = {
  ERR_MAPPED_RAM_TRUNCATED: 'stream-truncated',
  ERR_MAPPED_RAM_UNSUPPORTED: 'stream-unsupported',
  ERR_MAPPED_RAM_UNSUPPORTED_VERSION: 'stream-unsupported',
  ERR_MAPPED_RAM_INCOMPLETE: 'device-state-unmeasured',
};

/** Turns the problem that ended the reading of the stream into a finding. */
export function problemFinding(problem: MappedRamError): Finding {
  const { code, shortMessage, offset, sectionOffset, expected, found } = problem;
  const message = composeMessage(shortMessage, { sectionOffset, expected, found });
  return { severity: 'error', code: CODES[code] ?? 'stream-corrupt', message, offset };
}

/** Checks that the stream goes from its first record to its end, and lacks none of its parts. */
export async function checkStream(
  reader: RandomAccessReader,
  index: StreamIndex,
): Promise<readonly Finding[]> {
  const { problem, ram, trailing, complete } = index;
  const findings: Finding[] = [];
  const error = (code: FindingCode, message: string, offset: number): void => {
    findings.push({ severity: 'error', code, message, offset });
  };
  if (problem !== undefined) findings.push(problemFinding(problem));
  if (complete && ram === undefined) error('ram-missing', 'the stream has no RAM section', index.base);
  if (complete && ram !== undefined && !ram.ended) {
    error('ram-unended', 'the RAM section has no END, before which the bitmaps are written', ram.offset);
  }
  const bitmaps = index.sections.some(({ idstr }) => idstr === 'dirty-bitmap');
  for (const { code, name, data, offset } of index.commands) {
    // Commands of postcopy and of return paths refuse mapped-ram (docs/format.md §1.3, §6.2). But QEMU with
    // dirty-bitmaps writes the advice, without the page sizes that postcopy-ram gives it (§1.8).
    const isAdvice = code === POSTCOPY_ADVISE && data.length === 0;
    if (code !== SWITCHOVER_START && !(bitmaps && isAdvice))
      error('command-unexpected', `command ${name} in a mapped-ram file`, offset);
  }
  const late = await findSectionAfterItsEnd(reader, index.base);
  if (late !== undefined) error('section-order', 'a section goes on behind its END', late);
  if (trailing !== undefined) {
    // No reader looks at what follows: the stream tells where it ends, and a volume is larger than the stream on it.
    const { length, offset } = trailing;
    const message = `${length} bytes follow the stream`;
    findings.push({ severity: 'warning', code: 'trailing-bytes', message, offset });
  }
  return findings;
}

/** Returns the offset of that section. QEMU's reader would accept it, but no QEMU writes it. */
async function findSectionAfterItsEnd(reader: RandomAccessReader, base: number): Promise<number | undefined> {
  const ended = new Set<number>();
  try {
    for await (const batch of walkBatches(reader, { offset: base })) {
      for (const record of batch) {
        if (record.type !== 'section' || record.kind === 'full') continue;
        if (ended.has(record.sectionId)) return record.offset;
        if (record.kind === 'end') ended.add(record.sectionId);
      }
    }
  } catch (error) {
    // The index was made by the same walk, so its problem is known already.
    if (!(error instanceof MappedRamError)) throw error;
  }
  return undefined;
}
