import { constants } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';

import { MappedRamError, messageOf } from '../errors.ts';
import { StagedFile } from '../engine/staged-file.ts';
import { ioError, readAt } from '../io/fd-io.ts';
import type { LocalFile } from '../io/open-source.ts';
import { bitmapBytes } from '../stream/page-area.ts';
import type { MappedRamBlock } from '../stream/stream-index.ts';
import type { MappedSnapshot } from './mapped-snapshot.ts';
import { PageSet } from './page-set.ts';

const VERSION = 1;
/** What is added to a snapshot's path. */
const ENDING = '.working-set';
/** Bytes of a file beside those of the pages, at most, for each block and for the rest: a block's name has up to 255. */
const WORDS = 2 ** 12;

/** The pages that guests touch of each block, by its id. */
export type WorkingSet = ReadonlyMap<string, PageSet>;

/** The path of the working set that belongs to a snapshot; undefined for one that was given by a descriptor. */
export function workingSetPath({ path }: LocalFile): string | undefined {
  return path === undefined ? undefined : `${path}${ENDING}`;
}

/**
 * Writes a working set. The file appears when it is complete, and replaces an older one.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_UNSUPPORTED when the name belongs to something else than a
 *   regular file
 */
export async function writeWorkingSet(
  path: string,
  { identity, blocks }: MappedSnapshot,
  set: WorkingSet,
): Promise<void> {
  const entries = blocks.flatMap((block) => {
    const pages = set.get(block.id);
    return pages === undefined ? [] : [{ ...layoutOf(block), pages: pages.toText() }];
  });
  await using file = await StagedFile.create(path, { overwrite: true });
  const text = `${JSON.stringify({ mappedRamWorkingSet: VERSION, snapshot: identity, blocks: entries })}\n`;
  await writeFile(file.path, text).catch((cause: unknown) => {
    throw ioError('cannot write the working set', path, cause);
  });
  await file.sync();
  await file.publish();
}

/**
 * Reads the working set of a snapshot. The snapshot's size bounds the memory that this takes, and no number in the file.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be read; ERR_MAPPED_RAM_UNSUPPORTED when it is no
 *   regular file; ERR_MAPPED_RAM_CORRUPT when it is no working set; ERR_MAPPED_RAM_INVALID_ARGUMENT when it is that of
 *   another snapshot
 */
export async function readWorkingSet(path: string, snapshot: MappedSnapshot): Promise<WorkingSet> {
  return decodeWorkingSet(await readBounded(path, largestFile(snapshot.blocks)), path, snapshot);
}

/** Reads the text of a file. @throws {MappedRamError} as `readWorkingSet` */
export function decodeWorkingSet(
  text: string,
  path: string,
  snapshot: Pick<MappedSnapshot, 'path' | 'identity' | 'blocks'>,
): WorkingSet {
  const { mappedRamWorkingSet, snapshot: identity, blocks } = parse(text, path);
  if (mappedRamWorkingSet !== VERSION || !Array.isArray(blocks)) {
    throw corrupt(path, `an object with mappedRamWorkingSet ${VERSION} and blocks`, 'another');
  }
  if (identity !== snapshot.identity) {
    const words = `it was recorded for another save than ${snapshot.path}: record it anew`;
    throw another(path, words, snapshot.identity, inShort(identity));
  }
  const known = new Map(snapshot.blocks.map((block) => [block.id, block]));
  const sets = new Map<string, PageSet>();
  for (const entry of blocks) {
    const [id, set] = readBlock(path, known, entry);
    sets.set(id, set);
    // A block that comes again would cost its memory again.
    known.delete(id);
  }
  return sets;
}

/** Bytes of the largest file that can be a working set of these blocks. */
function largestFile(blocks: readonly MappedRamBlock[]): number {
  // Base64 has 4 letters for 3 bytes, and bits that do not deflate get longer by less than a thousandth.
  return blocks.reduce((sum, { area }) => sum + Math.ceil(bitmapBytes(area) * 1.34) + WORDS, WORDS);
}

async function readBounded(path: string, most: number): Promise<string> {
  try {
    // Opening a fifo, or a terminal, would wait for somebody.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stats = await file.stat();
    if (!stats.isFile()) {
      const words = 'the working set';
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, { path, expected: 'a regular file' });
    }
    if (stats.size > most) throw corrupt(path, `at most ${most} bytes`, `${stats.size} bytes`);
    const bytes = Buffer.allocUnsafe(stats.size);
    // It may have become shorter meanwhile.
    const done = await readAt(file.fd, path, bytes, 0);
    return bytes.toString('utf8', 0, done);
  } catch (error) {
    if (error instanceof MappedRamError) throw error;
    throw ioError('cannot read the working set', path, error);
  }
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
    const found = `block ${inShort(layout['id'])}`;
    throw another(path, 'its blocks are others', [...known.keys()].join(', '), found);
  }
  const expected = JSON.stringify(layoutOf(block));
  const found = JSON.stringify(layout);
  if (found !== expected) throw another(path, 'its blocks are others', expected, inShort(found));
  try {
    return [block.id, PageSet.fromText(block.area, pages)];
  } catch (cause) {
    throw corrupt(path, `the pages of block ${block.id}`, messageOf(cause));
  }
}

function layoutOf({ id, area: { length, pageSize, pagesOffset } }: MappedRamBlock): Record<string, unknown> {
  return { id, length, pageSize, pagesOffset };
}

function parse(text: string, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (cause) {
    throw corrupt(path, 'JSON', inShort(messageOf(cause)));
  }
  throw corrupt(path, 'an object', 'something else');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value out of a file, which may be long, for people. */
function inShort(value: unknown): string {
  const text = typeof value === 'string' ? value : typeof value;
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function corrupt(path: string, expected: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the file is no working set', {
    path,
    expected,
    found,
  });
}

function another(path: string, why: string, expected: string, found: string): MappedRamError {
  const words = `the working set is that of another snapshot: ${why}`;
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', words, { path, expected, found });
}
