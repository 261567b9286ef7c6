import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import { assertDirectory } from '../../host/filesystem.ts';
import { ioError } from '../../io/fd-io.ts';
import { assertDistinct, namedPlace } from '../../snapshot/distinct-places.ts';
import type { BenchLine } from './bench-options.ts';

/** The files that a bench reads and writes beside its own; undefined where none was named. */
export interface BenchFiles {
  /** The page, `--html`. */
  readonly page: string | undefined;
  /** The report to compare later runs with, `--save-baseline`. */
  readonly after: string | undefined;
  /** The report to compare with, `--baseline`. */
  readonly before: string | undefined;
}

/**
 * Finds out before minutes go by what cannot be written when they are over. Whether `before` can be read is found out by
 * reading it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_UNSUPPORTED for a name that belongs to something else than a
 * file, ERR_MAPPED_RAM_INVALID_ARGUMENT for one file in two roles
 */
export async function benchFiles(line: BenchLine): Promise<BenchFiles> {
  const [page, after, before] = [line.value('html'), line.value('save-baseline'), line.value('baseline')];
  for (const path of [page, after]) if (path !== undefined) await assertDirectory(dirname(path));
  // A baseline that each run replaces would let a small loss in each go by.
  await assertDistinct([
    ...namedPlace('--html', page === undefined ? undefined : { path: page }),
    ...namedPlace('--save-baseline', after === undefined ? undefined : { path: after }),
    ...namedPlace('--baseline', before === undefined ? undefined : { path: before }),
  ]);
  if (page !== undefined) await assertWritable(page, 'cannot write the page');
  if (after !== undefined) await assertReplaceable(after, 'cannot write the baseline');
  return { page, after, before };
}

/** The file is written in place: it may be a pipe or a terminal, too. */
async function assertWritable(path: string, words: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) throw notAFile(path, words, 'a directory');
  await assertMayWrite(found === undefined ? dirname(path) : path, path, words);
}

/** The file is written beside, and takes the name then. */
async function assertReplaceable(path: string, words: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === false) {
    throw notAFile(path, words, found.isDirectory() ? 'a directory' : 'a special file');
  }
  await assertMayWrite(dirname(path), path, words);
}

async function assertMayWrite(place: string, path: string, words: string): Promise<void> {
  await access(place, constants.W_OK).catch((cause: unknown) => {
    throw ioError(words, path, cause);
  });
}

function notAFile(path: string, words: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, { path, expected: 'a regular file', found });
}
