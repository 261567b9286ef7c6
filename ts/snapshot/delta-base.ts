import { dirname, resolve } from 'node:path';

import { MappedRamError, systemCode } from '../errors.ts';
import { lockFile } from '../engine/file-lock.ts';
import { keptSource, type OpenSource } from '../io/open-source.ts';
import { OverlaySource } from '../pages/overlay/overlay-source.ts';
import { CAPABILITY_BASE } from '../stream/constants.ts';
import { readStreamIndex } from '../stream/read/read-stream-index.ts';
import type { MappedRamBlock, StreamIndex } from '../stream/stream-index.ts';
import { type BaseRecord, baseRecordIn } from '../stream/vmdescription/base-record.ts';
import { type BaseIdentity, identifyBase } from './base-identity.ts';
import { type OpenedSource, openPlace, type SourcePlace } from './snapshot-source.ts';

/** The base of a delta, open: a whole snapshot that is what it was when the delta was made. */
export interface DeltaBase {
  /** The base's name, as it was found. */
  readonly path: string;
  readonly reader: OpenSource;
  readonly index: StreamIndex;
  readonly blocks: readonly MappedRamBlock[];
}

/** A delta with its base under it. */
export interface Layered {
  /** Both as one source, which closes both. */
  readonly reader: OpenSource;
  readonly base: DeltaBase;
}

/** The codes of errors that say nothing about the file's content. */
const PASSED_ON: ReadonlySet<string> = new Set(['ERR_MAPPED_RAM_IO', 'ERR_MAPPED_RAM_BUSY']);

/**
 * Finds and opens the base of a stream that is a delta: where the caller says, or where the delta does, beside it first.
 * Both files stay locked against writers in place until they are closed.
 * @param index of the opened stream
 * @param known the base, when the caller has it open: it stays the caller's, and locked
 * @returns undefined for a stream that is whole
 * @throws {MappedRamError} ERR_MAPPED_RAM_BASE when the base is missing, is another file, has changed, or is a delta;
 *   ERR_MAPPED_RAM_INCOMPLETE for a delta that breaks off before it names its base; ERR_MAPPED_RAM_BUSY when one of the
 *   two is being written; ERR_MAPPED_RAM_INVALID_ARGUMENT for a delta's second head, and for a base of a stream that is
 *   whole; ERR_MAPPED_RAM_CORRUPT; ERR_MAPPED_RAM_IO
 */
export async function openBase(
  opened: OpenedSource,
  index: StreamIndex,
  known?: KnownBase,
): Promise<Layered | undefined> {
  const { reader, basePlace, signal } = opened;
  const path = reader.name;
  const record = baseRecordIn(index.vmdescription?.json, path);
  if (!index.capabilities.includes(CAPABILITY_BASE)) {
    if (record !== undefined) throw secondHead(path, index.base);
    if (basePlace === undefined) return undefined;
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the snapshot is whole: it has no base', {
      path,
    });
  }
  const { ram, problem } = index;
  if (record === undefined || ram?.form !== 'mapped-ram') {
    const cause = problem === undefined ? {} : { cause: problem };
    const words = 'the delta does not say what its base is';
    throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', words, { path, ...cause });
  }
  hold(reader);
  const base = await (known === undefined
    ? findBase(opened, record, signal)
    : onKnown(known, record, signal));
  try {
    const blocks = pairs(ram.blocks, base, path);
    return { reader: new OverlaySource({ base: base.reader, delta: reader, blocks }), base };
  } catch (error) {
    await base.reader.close();
    throw error;
  }
}

/** A descriptor of the caller's keeps the lock that it has: the lock would outlive the snapshot. */
function hold({ file, name }: OpenSource): void {
  if (file?.path !== undefined) lockFile(file.fd, 'shared', name);
}

/** A snapshot that is open. */
export interface KnownBase extends Pick<DeltaBase, 'path' | 'reader' | 'index'> {
  /** What `identifyBase` says of it. @default it is asked */
  readonly identity?: BaseIdentity | undefined;
}

/** Makes sure that an open snapshot is the base of a delta. */
async function onKnown(
  { path, reader, index, identity }: KnownBase,
  record: BaseRecord,
  signal: AbortSignal | undefined,
): Promise<DeltaBase> {
  const difference = await differenceOf(reader, index, record, signal, identity);
  if (difference === undefined && index.ram?.form === 'mapped-ram') {
    return { path, reader: keptSource(reader), index, blocks: index.ram.blocks };
  }
  throw new MappedRamError(
    'ERR_MAPPED_RAM_BASE',
    `the base of the delta cannot be used: ${path} ${difference}`,
    {
      path,
    },
  );
}

async function findBase(
  { reader, basePlace }: OpenedSource,
  record: BaseRecord,
  signal: AbortSignal | undefined,
): Promise<DeltaBase> {
  const places = basePlace === undefined ? placesIn(record, reader.file?.path) : [basePlace];
  const reasons: string[] = [];
  for (const place of places) {
    const found = await openAt(place, record, signal);
    if (typeof found !== 'string') return found;
    if (!reasons.includes(found)) reasons.push(found);
  }
  const where = places.length === 0 ? 'the delta does not say where it is' : reasons.join('; ');
  const words = `the base of the delta cannot be used: ${where}; say where it is (base, --base)`;
  throw new MappedRamError('ERR_MAPPED_RAM_BASE', words, { path: reader.name });
}

/** The places that a delta names. The one beside it comes first: both may have been moved together. */
function placesIn({ name, path, offset }: BaseRecord, delta: string | undefined): readonly SourcePlace[] {
  const beside =
    name === undefined || delta === undefined ? undefined : resolve(dirname(resolve(delta)), name);
  const paths = new Set([beside, path].filter((one) => one !== undefined));
  return [...paths].map((one) => ({ path: one, offset }));
}

/** Opens a base and checks that it is the one. Returns the reason in words when it is not. */
async function openAt(
  place: SourcePlace,
  record: BaseRecord,
  signal: AbortSignal | undefined,
): Promise<DeltaBase | string> {
  const name = 'path' in place ? place.path : undefined;
  let opened: OpenedSource;
  try {
    opened = await openPlace(place, signal);
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    return systemCode(error.cause) === 'ENOENT' && name !== undefined ? `${name} is missing` : error.message;
  }
  const { reader, base: offset } = opened;
  try {
    // Nobody may write into it once it was looked at.
    hold(reader);
    const index = await readStreamIndex(reader, { offset });
    const difference = await differenceOf(reader, index, record, signal);
    if (difference === undefined && index.ram?.form === 'mapped-ram') {
      return { path: reader.name, reader, index, blocks: index.ram.blocks };
    }
    await reader.close();
    return `${reader.name} ${difference ?? 'has no mapped RAM'}`;
  } catch (error) {
    await reader.close();
    if (!(error instanceof MappedRamError) || PASSED_ON.has(error.code)) throw error;
    return error.message;
  }
}

/** Compares a file with the record of a base. Returns what is different, in words. */
async function differenceOf(
  reader: OpenSource,
  index: StreamIndex,
  record: BaseRecord,
  signal: AbortSignal | undefined,
  identity?: BaseIdentity,
): Promise<string | undefined> {
  if (index.capabilities.includes(CAPABILITY_BASE)) {
    return 'is a delta itself, and a delta stands on a whole snapshot: flatten it first';
  }
  const found = identity ?? (await identifyBase(reader, index, signal));
  if (found.uuid !== record.uuid) return 'is a snapshot of another guest: its UUID is another';
  if (found.offset !== record.offset)
    return `has its stream at ${found.offset}, the base at ${record.offset}`;
  if (found.end !== record.end) {
    return `is another snapshot, or has changed: it ends at ${found.end}, the base at ${record.end}`;
  }
  if (found.metadata !== record.metadata) {
    return 'is another snapshot, or has changed: its headers, bitmaps or device state are not those of the base';
  }
  // A base may have lost its seal, or have been given one later.
  const isSealed = found.seal !== undefined && record.seal !== undefined;
  return isSealed && found.seal !== record.seal
    ? 'has changed: its seal is not the one that the base had'
    : undefined;
}

function pairs(
  blocks: readonly MappedRamBlock[],
  { path: name, blocks: others }: DeltaBase,
  path: string,
): OverlaySource['overlay']['blocks'] {
  return blocks.map(({ id, area }) => {
    const other = others.find((candidate) => candidate.id === id);
    const isSame =
      other !== undefined &&
      !other.skipped &&
      other.area.length === area.length &&
      other.area.pageSize === area.pageSize;
    if (isSame && blocks.length === others.length) return { base: other.area, delta: area };
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `the delta has other blocks than its base ${name}`, {
      path,
      expected: wordsOf(others),
      found: wordsOf(blocks),
    });
  });
}

function wordsOf(blocks: readonly MappedRamBlock[]): string {
  return blocks.map(({ id, length }) => `${id} (${length} bytes)`).join(', ');
}

function secondHead(path: string, offset: number): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'this head of a delta is for a QEMU that has the base mapped already: open the delta at its own beginning',
    { path, offset },
  );
}
