import { open, writeFile } from 'node:fs/promises';

import { StagedFile } from '../../engine/staged-file.ts';
import { MappedRamError } from '../../errors.ts';
import { ioError } from '../../io/fd-io.ts';
import { inWords } from '../../io/in-words.ts';
import type { BenchReport } from '../report.ts';
import { checkedReport } from './check-report.ts';

/** The most bytes that a report may have; one with all that can be measured has less than 1 MiB. */
const MOST_BYTES = 32 * 2 ** 20;

/**
 * Writes a report as a baseline for later runs, which `readBaseline` reads. An older file is replaced when the new one is
 * complete. A baseline that every run replaces lets a small loss in each go by: replace it when a loss is meant.
 *
 * @param path of the file, taken as it is
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a
 * regular file; ERR_MAPPED_RAM_CORRUPT or ERR_MAPPED_RAM_UNSUPPORTED_VERSION when `report` is none, naming the member
 * that is wrong; ERR_MAPPED_RAM_INVALID_ARGUMENT for `path`
 */
export async function saveBaseline(report: BenchReport, path: string): Promise<void> {
  assertPath(path);
  const checked = checkedReport(report, { name: 'the report' });
  await using file = await StagedFile.create(path, { overwrite: true });
  await writeFile(file.path, `${JSON.stringify(checked, null, 2)}\n`).catch((cause: unknown) => {
    throw ioError('cannot write the baseline', path, cause);
  });
  await file.sync();
  await file.publish();
}

/**
 * Reads a report that `saveBaseline` wrote, or `bench --json` printed, and checks it for `compareWithBaseline` and
 * `benchPage`.
 *
 * @param path of the file, taken as it is; the file has at most 32 MiB
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_TRUNCATED when it is cut short; ERR_MAPPED_RAM_CORRUPT when it
 * is no report, naming the member that is wrong; ERR_MAPPED_RAM_UNSUPPORTED_VERSION; ERR_MAPPED_RAM_INVALID_ARGUMENT for
 * `path`
 */
export async function readBaseline(path: string): Promise<BenchReport> {
  assertPath(path);
  const bytes = await readAtMost(path, MOST_BYTES + 1).catch((cause: unknown) => {
    throw ioError('cannot read the baseline', path, cause);
  });
  if (bytes.length > MOST_BYTES) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the baseline is no report of a bench', {
      path,
      expected: `at most ${MOST_BYTES} bytes`,
      found: 'more',
    });
  }
  return checkedReport(parse(bytes.toString('utf8'), path), { name: 'the baseline', path });
}

function assertPath(path: unknown): void {
  if (typeof path === 'string') return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'path of the baseline', {
    expected: 'a text',
    found: inWords(path),
  });
}

/** Reads piece by piece: the size of a pipe or a device is not known before. */
async function readAtMost(path: string, most: number): Promise<Buffer> {
  await using file = await open(path);
  const pieces: Buffer[] = [];
  let left = most;
  while (left > 0) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(left, 2 ** 16)));
    if (bytesRead === 0) break;
    pieces.push(buffer.subarray(0, bytesRead));
    left -= bytesRead;
  }
  return Buffer.concat(pieces);
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    // What begins like a report and does not end like one has lost its end.
    const isCut = text === '' || (text.startsWith('{') && !text.trimEnd().endsWith('}'));
    const [code, words] = isCut
      ? (['ERR_MAPPED_RAM_TRUNCATED', 'the baseline is cut short'] as const)
      : (['ERR_MAPPED_RAM_CORRUPT', 'the baseline is not JSON'] as const);
    throw new MappedRamError(code, words, { path, expected: 'a report of mapped-ram bench', cause });
  }
}
