import { MappedRamError } from '../../errors.ts';
import { binding, type BindingError, toMappedRamError } from '../binding.ts';

/** A file that pages are read from. */
export interface ServedFile {
  readonly path?: string | undefined;
  readonly fd?: number | undefined;
  /** The name that errors use. */
  readonly name: string;
}

/** Pages of a block that are in one file. */
export interface ServedLayer {
  /** The file, as an index. */
  readonly file: number;
  /** Offset of the block's first page in the file, in bytes. */
  readonly pagesOffset: number;
  /**
   * Offset of the block's bitmap in the file, in bytes. Bit i of byte i / 8 is page i, of 4096 bytes: set when this file
   * has it.
   */
  readonly bitmapOffset: number;
}

/** A block whose pages are served. */
export interface ServedBlock {
  readonly id: string;
  /** Length in bytes. */
  readonly length: number;
  /** Page size of the destination's memory beneath, in bytes. */
  readonly hostPage: number;
  /** The files that have the block's pages: the first one that has a page counts. */
  readonly layers: readonly ServedLayer[];
  /** Pages to send before others, as a bitmap. */
  readonly hot?: Uint8Array | undefined;
}

/**
 * The pace at which pages are sent that nobody has asked for: as fast as QEMU takes them; in small portions, and never
 * right after an answer; or not at all.
 */
export type PushPace = (typeof PUSH_PACES)[number];
export const PUSH_PACES = ['full', 'gentle', 'off'] as const;

/** The way to the QEMU that a page server serves. */
export interface PageServerPeer {
  /** The unix socket on which QEMU listens. */
  readonly path?: string | undefined;
  /** A socket that is connected to QEMU already. */
  readonly descriptor?: number | undefined;
  /** True for a second connection, on which pages come that the guest waits for. */
  readonly preempt: boolean;
}

/** All that a page server serves, and how. */
export interface PageServerWork {
  /** Limit in milliseconds for connecting. */
  readonly connectMs: number;
  readonly files: readonly ServedFile[];
  /** True to read the files past the page cache. */
  readonly directIo: boolean;
  readonly blocks: readonly ServedBlock[];
  readonly sectionId: number;
  /** All that QEMU gets before the guest runs; undefined to take over from a server that has gone. */
  readonly opening?: Uint8Array | undefined;
  readonly push: PushPace;
  /** Limit in bytes per second for pages that nobody has asked for. */
  readonly maxBandwidth?: number | undefined;
  /** False for a migration that is to end only when `end` is called. */
  readonly endsByItself: boolean;
}

/** All that a page server is started with. */
export type PageServerOptions = PageServerWork & PageServerPeer;

/** The state of a server. */
export interface PageServerProgress {
  /** Bytes of pages with content. */
  readonly contentBytes: number;
  /** Those of them that QEMU has got. */
  readonly sentBytes: number;
  /** Requests of QEMU's so far. */
  readonly requests: number;
  /** True when the guest may run. */
  readonly loaded: boolean;
  /** True when all pages with content are sent. */
  readonly pushed: boolean;
  /** True when QEMU was told that no page follows. */
  readonly ended: boolean;
}

/** What a server did, to the end. */
export interface PageServerReport {
  /** Pages that QEMU asked for. */
  readonly requests: number;
  /** Requests for pages that were on their way already. */
  readonly repeated: number;
  /** Host pages that were sent because they were asked for. */
  readonly answeredPages: number;
  /** Those of them that were all zero. */
  readonly zeroPages: number;
  readonly answeredBytes: number;
  readonly pushedBytes: number;
  /** Milliseconds from the server's start to each step. */
  readonly connectedMs: number;
  readonly loadedMs: number;
  readonly pushedMs?: number | undefined;
  readonly completeMs: number;
  /** Microseconds from a request to its answer, as the server sees it. */
  readonly answerMicroseconds: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** A source of pages, and the news of it. It may be in this process or in another. */
export interface PageServer {
  /** Settles when QEMU has all of its memory. @throws {MappedRamError} the reason why it has not */
  readonly done: Promise<PageServerReport>;
  /** Settles with true when the guest may run, and with false when `done` has settled before. */
  readonly loaded: Promise<boolean>;
  /** Settles with true when all pages with content are sent, and with false when `done` has settled before. */
  readonly pushed: Promise<boolean>;
  /** Settles with the reason why a page could not be read, and with undefined when all could. */
  readonly unreadable: Promise<MappedRamError | undefined>;
  /** True when the server itself is gone, not only its connection. */
  readonly isGone: boolean;
  progress(): PageServerProgress;
  /** Allows the end of the migration. */
  end(): void;
  /** From now on this process need not live for the server's sake, where the server is in another. */
  unref(): void;
  /** Cuts the connections. `done` settles then. May be called again. */
  stop(): void;
}

/** Tells whether a server has ended because its connection or its process did: another one may take over. */
export function isServerLost(error: unknown): boolean {
  return error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_CLOSED';
}

/**
 * Checks that a file can be read past the page cache.
 * @throws {MappedRamError} ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE when it cannot; ERR_MAPPED_RAM_IO when it cannot be
 *   opened
 */
export function assertDirectIo({ path, fd, name }: ServedFile): void {
  const error = binding().checkDirectIo({
    name,
    ...(path === undefined ? {} : { path }),
    ...(fd === undefined ? {} : { fd }),
  });
  if (error !== null) throw toMappedRamError(error);
}

/**
 * Loads native code beforehand, which takes milliseconds.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when it cannot be loaded
 */
export function prepareToServe(): void {
  binding();
}

/**
 * Starts a page server in this process, on a thread of its own. Files and descriptors may be closed when this returns.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when native code cannot be loaded
 */
export function startPageServer(options: PageServerOptions): PageServer {
  const { BindingPageServer } = binding();
  const { path, descriptor, opening, maxBandwidth, ...others } = options;
  const native = new BindingPageServer({
    ...others,
    ...(path === undefined ? {} : { path }),
    ...(descriptor === undefined ? {} : { descriptor }),
    ...(opening === undefined ? {} : { opening }),
    ...(maxBandwidth === undefined ? {} : { maxBandwidth }),
    blocks: options.blocks.map(({ layers, hot, ...block }) => ({
      ...block,
      layers: [...layers],
      ...(hot === undefined ? {} : { hot }),
    })),
    files: options.files.map(({ name, path: file, fd }) => ({
      name,
      ...(file === undefined ? {} : { path: file }),
      ...(fd === undefined ? {} : { fd }),
    })),
  });
  const loaded = native.loaded();
  const pushed = native.pushed();
  const unreadable = native.unreadable();
  const done = native.run().then(({ error, report }) => {
    if (error !== undefined) throw toMappedRamError(error);
    if (report !== undefined) return report;
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the page server gave neither report nor error');
  });
  done.catch(() => undefined);
  return {
    done,
    loaded,
    pushed,
    isGone: false,
    unreadable: unreadable.then((error: BindingError | null) =>
      error === null ? undefined : toMappedRamError(error),
    ),
    progress: () => native.progress(),
    end: () => native.end(),
    unref: () => undefined,
    stop: () => native.stop(),
  };
}
