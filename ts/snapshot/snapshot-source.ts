import { MappedRamError } from '../errors.ts';
import { byteCount } from '../io/byte-count.ts';
import { inWords } from '../io/in-words.ts';
import { FileReader } from '../io/file-reader.ts';
import type { OpenSource } from '../io/open-source.ts';
import { StorageReader, type StorageSource } from '../io/storage.ts';
import { type LibvirtImage, readLibvirtImage } from '../stream/read/libvirt-image.ts';
import { parseFdset } from '../uri/parse-fdset.ts';
import { fileTargetOf } from '../io/file-target.ts';
import { assertPlace } from './assert-place.ts';

/**
 * The place of a snapshot. A string is a `file:` migration URI (with `,offset=`) or a path, a URL is a `file:` URL;
 * `path` is taken literally. A descriptor is open for reading and stays the caller's, and so does storage. `offset` is
 * the stream's offset in bytes. @default 0, and of a libvirt save image where the stream inside starts. `base` is the
 * place of the base, of a delta only. @default where the delta says that its base is
 */
export type SnapshotSource =
  | string
  | URL
  | {
      readonly path: string;
      readonly fd?: undefined;
      readonly storage?: undefined;
      readonly offset?: number | bigint | undefined;
      readonly base?: SnapshotSource | undefined;
      /** An open `Snapshot` has a path too, and is no name of a place. */
      readonly close?: undefined;
    }
  | {
      readonly fd: number;
      readonly path?: undefined;
      readonly storage?: undefined;
      readonly offset?: number | bigint | undefined;
      readonly base?: SnapshotSource | undefined;
    }
  | {
      readonly storage: StorageSource;
      readonly path?: undefined;
      readonly fd?: undefined;
      readonly offset?: number | bigint | undefined;
      readonly base?: SnapshotSource | undefined;
    };

/** A source whose text was parsed. */
export type SourcePlace = (
  | {
      readonly path: string;
      /** What errors call the file, where its path says nothing to people. @default the path */
      readonly name?: string | undefined;
    }
  | { readonly fd: number }
  | { readonly storage: StorageSource }
) & {
  readonly offset: number;
  /** The place of the base, where the caller names it. */
  readonly base?: SourcePlace | undefined;
};

/** A source that is open, whatever it holds. */
export interface OpenedSource {
  readonly reader: OpenSource;
  /** Offset of the stream in the source, in bytes. */
  readonly base: number;
  /** libvirt's header; undefined where there is none, or the caller gave the offset. */
  readonly libvirt?: LibvirtImage | undefined;
  /** The place of the base of a delta, where the caller names it. */
  readonly basePlace?: SourcePlace | undefined;
  /** Ends all reading from the source, and from its base. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Parses a source.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what is no source, and as `parsePlace`
 */
export function sourcePlace(source: SnapshotSource): SourcePlace {
  if (typeof source === 'string' || source instanceof URL) return parsePlace(source);
  assertPlace(source, 'the source', ['readInto']);
  const offset = byteCount('offset of the snapshot', source.offset ?? 0);
  const base = source.base === undefined ? undefined : sourcePlace(source.base);
  if (source.path !== undefined) return { path: literalPath(source.path), offset, base };
  return source.fd === undefined
    ? { storage: source.storage, offset, base }
    : { fd: source.fd, offset, base };
}

/**
 * The place that a migration URI, a path or a URL names.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for transports that cannot seek and for `/dev/fdset/N`, which is
 *   a name that only a running QEMU understands; ERR_MAPPED_RAM_INVALID_URI
 */
export function parsePlace(uri: string | URL): { readonly path: string; readonly offset: number } {
  const { filename: path, offset } = fileTargetOf(uri);
  if (parseFdset(path) === undefined) return { path, offset };
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'an fdset exists only inside a running QEMU', {
    path,
    expected: 'a path',
  });
}

/**
 * Checks a path, and returns it as it stands.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a text that can be no file's name
 */
export function literalPath(path: string): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'no file has this name', {
    expected: 'a name that is not empty and has no NUL in it',
    found: inWords(path),
  });
}

/**
 * Opens a source; disposal closes what was opened here. Unless the caller gives an offset, the stream starts behind
 * libvirt's header, if there is one (docs/format.md §12).
 * @param signal ends all reading from the source, later too
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_UNSUPPORTED for anything but a regular file and for a
 *   compressed libvirt image, ERR_MAPPED_RAM_INCOMPLETE for one that was not finished,
 *   ERR_MAPPED_RAM_UNSUPPORTED_VERSION
 */
export async function openPlace(
  place: SourcePlace,
  signal: AbortSignal | undefined,
): Promise<OpenedSource & AsyncDisposable> {
  const reader = await openReader(place, signal);
  try {
    const libvirt = place.offset === 0 ? await readLibvirtImage(reader) : undefined;
    const base = libvirt?.streamOffset ?? place.offset;
    const dispose = (): Promise<void> => reader.close();
    return { reader, base, libvirt, basePlace: place.base, signal, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function openReader(place: SourcePlace, signal: AbortSignal | undefined): Promise<OpenSource> {
  if ('path' in place) return FileReader.open(place.path, signal, place.name);
  return 'fd' in place ? FileReader.over(place.fd, signal) : StorageReader.open(place.storage, signal);
}
