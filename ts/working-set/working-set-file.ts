import { readFile, writeFile } from 'node:fs/promises';

import { MappedRamError, messageOf } from '../errors.ts';
import { StagedFile } from '../engine/staged-file.ts';
import { ioError } from '../io/fd-io.ts';
import { localFile } from '../io/open-source.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import { PageSet } from './page-set.ts';

const VERSION = 1;
/** What is added to a snapshot's path. */
const ENDING = '.working-set';

/** The pages that guests touch of each block, by its id. */
export type WorkingSet = ReadonlyMap<string, PageSet>;

/**
 * The path of the working set that belongs to a snapshot.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the snapshot has no path
 */
export function workingSetPath(snapshot: Snapshot): string {
  const path = localFile(snapshot.reader, 'a working set').path;
  if (path !== undefined) return `${path}${ENDING}`;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'path of the working set', {
    expected: 'a path, as the snapshot was given by a descriptor',
    found: 'none',
  });
}

/**
 * Writes a working set. The file appears when it is complete, and replaces an older one.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a
 *   regular file
 */
export async function writeWorkingSet(path: string, snapshot: Snapshot, set: WorkingSet): Promise<void> {
  const blocks = mappedBlocks(snapshot).flatMap((block) => {
    const pages = set.get(block.id);
    return pages === undefined ? [] : [{ ...layoutOf(block), pages: pages.toText() }];
  });
  await using file = await StagedFile.create(path, { overwrite: true });
  const text = `${JSON.stringify({ mappedRamWorkingSet: VERSION, size: snapshot.reader.size, blocks })}\n`;
  await writeFile(file.path, text).catch((cause: unknown) => {
    throw ioError('cannot write the working set', path, cause);
  });
  await file.sync();
  await file.publish();
}

/**
 * Reads the working set of a snapshot.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be read; ERR_MAPPED_RAM_CORRUPT when it is no working
 *   set; ERR_MAPPED_RAM_INVALID_ARGUMENT when it is that of another snapshot
 */
export async function readWorkingSet(path: string, snapshot: Snapshot): Promise<WorkingSet> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw ioError('cannot read the working set', path, cause);
  });
  const { mappedRamWorkingSet, size, blocks } = parse(text, path);
  if (mappedRamWorkingSet !== VERSION || !Array.isArray(blocks)) {
    throw corrupt(path, `an object with mappedRamWorkingSet ${VERSION} and blocks`, 'another');
  }
  if (size !== snapshot.reader.size) {
    throw another(path, `a snapshot of ${snapshot.reader.size} bytes`, `one of ${String(size)} bytes`);
  }
  const known = new Map(mappedBlocks(snapshot).map((block) => [block.id, block]));
  return new Map(blocks.map((entry: unknown) => readBlock(path, known, entry)));
}

function readBlock(
  path: string,
  known: ReadonlyMap<string, MappedRamBlock>,
  entry: unknown,
): readonly [string, PageSet] {
  if (!isObject(entry)) throw corrupt(path, 'a block', typeof entry);
  const { pages, ...layout } = entry;
  const block = typeof layout['id'] === 'string' ? known.get(layout['id']) : undefined;
  if (block === undefined || typeof pages !== 'string') {
    throw another(path, [...known.keys()].join(', '), `block ${String(layout['id'])}`);
  }
  const expected = JSON.stringify(layoutOf(block));
  if (JSON.stringify(layout) !== expected) throw another(path, expected, JSON.stringify(layout));
  try {
    return [block.id, PageSet.fromText(block.area, pages)];
  } catch (cause) {
    throw corrupt(path, `the pages of block ${block.id}`, messageOf(cause));
  }
}

function layoutOf({ id, area: { length, pageSize, pagesOffset } }: MappedRamBlock): Record<string, unknown> {
  return { id, length, pageSize, pagesOffset };
}

function mappedBlocks({ index }: Snapshot): readonly MappedRamBlock[] {
  return index.ram?.form === 'mapped-ram' ? index.ram.blocks.filter(({ skipped }) => !skipped) : [];
}

function parse(text: string, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (cause) {
    throw corrupt(path, 'JSON', messageOf(cause));
  }
  throw corrupt(path, 'an object', 'something else');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function corrupt(path: string, expected: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the file is no working set', {
    path,
    expected,
    found,
  });
}

function another(path: string, expected: string, found: string): MappedRamError {
  const words = 'the working set is that of another snapshot';
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', words, { path, expected, found });
}
