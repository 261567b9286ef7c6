import { MappedRamError } from '../errors.ts';
import type { PageArea } from '../stream/page-area.ts';
import type { RandomAccessReader } from '../stream/reader.ts';

/** A file of this host that this process has open. */
export interface LocalFile {
  /** The name that errors use. */
  readonly name: string;
  /** The descriptor; valid until its owner closes it. */
  readonly fd: number;
  /** The path under which the file can be opened anew; undefined for a descriptor of the caller's. */
  readonly path: string | undefined;
  /** A descriptor of the same file with O_DIRECT, when the caller has given one. */
  readonly directFd?: number | undefined;
}

/** The two sources of which a delta and its base are made one: whatever is not in the delta is in the base. */
export interface Overlay {
  readonly base: OpenSource;
  readonly delta: OpenSource;
  /** The places of each block in both. Lengths and page sizes are the same. */
  readonly blocks: readonly { readonly base: PageArea; readonly delta: PageArea }[];
}

/** The bytes of a snapshot, open to be read at offsets in any order. */
export interface OpenSource extends RandomAccessReader, AsyncDisposable {
  /** Bytes that are allocated for the source; its size where nobody knows. */
  readonly allocated: number;
  /** The file behind the source, for the engine and for QEMU; undefined where there is none on this host. */
  readonly file: LocalFile | undefined;
  /** The caller's storage behind the source; undefined for a file. */
  readonly storage?: { readonly name?: string | undefined } | undefined;
  /** The sources behind a delta that is read with its base; undefined for a snapshot that is whole. */
  readonly overlay?: Overlay | undefined;
  /**
   * Reads like `read`, into a buffer of the caller's.
   * @throws {MappedRamError} ERR_MAPPED_RAM_TRUNCATED when the source ends before the buffer is full
   */
  readonly readInto: (bytes: Uint8Array, offset: number) => Promise<void>;
  /**
   * Makes a view of the source whose reads end with a signal, too. A source without this function reads files, where no
   * read hangs.
   */
  readonly until?: ((signal: AbortSignal) => OpenSource) | undefined;
  /** Lets the source go; may be called again. */
  readonly close: () => Promise<void>;
}

/** The sources that a source is read from: itself, or a delta and then its base. */
export function sourcesOf(source: OpenSource): readonly OpenSource[] {
  return source.overlay === undefined ? [source] : [source.overlay.delta, source.overlay.base];
}

/** The file that has a snapshot's name: of a delta its own, not that of its base. */
export function namedFile({ file, overlay }: OpenSource): LocalFile | undefined {
  return overlay === undefined ? file : overlay.delta.file;
}

/** The reason why the engine cannot move a source's pages in one transfer, in words. */
export function whyNoEngine({ name, overlay }: Pick<OpenSource, 'name' | 'overlay'>): string {
  return overlay === undefined
    ? `${name} is no file on this host`
    : `${name} is a delta, whose pages are in two files`;
}

/**
 * The file behind a source or an output, for work that cannot do without one.
 * @param why the work that needs the file, as in "mapping a snapshot"
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when there is none
 */
export function localFile(
  { name, file }: { readonly name: string; readonly file: LocalFile | undefined },
  why: string,
): LocalFile {
  if (file !== undefined) return file;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `${why} needs a file on this host`, {
    path: name,
    expected: 'a path or a descriptor',
    found: 'storage of the caller',
  });
}

/** A source for somebody who closes it at the end, while it stays open for its owner. */
export function keptSource(source: OpenSource): OpenSource {
  const { name, size, kind, allocated, storage, overlay, until } = source;
  return {
    name,
    size,
    allocated,
    ...(kind === undefined ? {} : { kind }),
    storage,
    overlay,
    get file() {
      return source.file;
    },
    read: (offset, length) => source.read(offset, length),
    readInto: (bytes, offset) => source.readInto(bytes, offset),
    until: until === undefined ? undefined : (signal) => keptSource(until.call(source, signal)),
    close: keepOpen,
    [Symbol.asyncDispose]: keepOpen,
  };
}

async function keepOpen(): Promise<void> {}
