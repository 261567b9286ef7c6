import { type FileHandle, open } from 'node:fs/promises';

import { lockFile } from '../../engine/file-lock.ts';
import {
  assertDirectIo,
  type ServedBlock,
  type ServedFile,
  type ServedLayer,
} from '../../engine/serve/page-server.ts';
import { MappedRamError } from '../../errors.ts';
import { identityOf } from '../../host/file-identity.ts';
import { procPath } from '../../io/anonymous-file.ts';
import { ioError } from '../../io/fd-io.ts';
import { localFile, type OpenSource } from '../../io/open-source.ts';
import { areaInBase } from '../../pages/overlay/load-overlay.ts';
import type { Switch } from '../../negotiate/request.ts';
import type { ComingMemory } from '../../qemu/memory/coming-memory.ts';
import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { bitmapBytes, type PageArea } from '../../stream/page-area.ts';
import type { PageSet } from '../../working-set/page-set.ts';
import type { LoadOptions } from '../options.ts';

/** The pages of a snapshot for a page server: its files, open in this process, and what is where in them. */
export class ServedMemory implements AsyncDisposable {
  /** In the order of the layers' indexes. */
  readonly files: readonly ServedFile[];
  readonly blocks: readonly ServedBlock[];
  /** True when the files are to be read past the page cache. */
  readonly directIo: boolean;
  readonly #offset: number;
  readonly #handles: readonly FileHandle[];

  private constructor(
    parts: Pick<ServedMemory, 'files' | 'blocks' | 'directIo'>,
    offset: number,
    handles: readonly FileHandle[],
  ) {
    ({ files: this.files, blocks: this.blocks, directIo: this.directIo } = parts);
    this.#offset = offset;
    this.#handles = handles;
  }

  /**
   * Finds the pages of a snapshot, those of a delta over those of its base. The files stay open when the snapshot is
   * closed, and locked as it was.
   * @param memory QEMU's blocks, whose pages may be larger than the snapshot's
   * @param options `hot`: pages that come before others; `directIo`: `on` has the files read past the page cache
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a snapshot that is in no local file; ERR_MAPPED_RAM_IO;
   *   ERR_MAPPED_RAM_BUSY when somebody writes it; ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE
   */
  static async open(
    snapshot: Snapshot,
    memory: readonly MemoryBlock[],
    { hot, directIo }: Pick<LoadOptions, 'hot' | 'directIo'> = {},
  ): Promise<ServedMemory> {
    assertReadable(snapshot, directIo);
    const sources = sourcesBelow(snapshot.reader);
    const handles: FileHandle[] = [];
    try {
      const files: ServedFile[] = [];
      for (const source of sources) {
        const { fd, name } = localFile(source, 'a lazy restore');
        const handle = await open(procPath(fd), 'r').catch((cause: unknown) => {
          throw ioError('cannot open the snapshot again', name, cause);
        });
        handles.push(handle);
        // Nobody of this package writes into it meanwhile: every duplicate holds the lock, in whichever process.
        lockFile(handle.fd, 'shared', name);
        files.push({ fd: handle.fd, name });
      }
      const blocks: ServedBlock[] = [];
      for (const { id, length, area } of snapshot.completeRam().blocks) {
        const found = memory.find((block) => block.id === id);
        const layers = await layersOf(snapshot.reader, area, sources);
        const hostPage = found?.hostPageSize ?? area.pageSize;
        blocks.push({ id, length, hostPage, layers, hot: hotOf(hot?.get(id), area) });
      }
      return new ServedMemory({ files, blocks, directIo: directIo === 'on' }, snapshot.index.base, handles);
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
  }

  /** The place of the snapshot: of a delta, its own. */
  get source(): Pick<ComingMemory, 'path' | 'file' | 'offset'> {
    const [first] = this.files;
    const file = first?.fd === undefined ? undefined : identityOf(first.fd);
    if (first === undefined || file === undefined)
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a memory without files');
    return { path: first.name, file, offset: this.#offset };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles) if (handle.fd !== -1) await handle.close();
  }
}

/** The bitmap of hot pages; undefined for a block that had another length when they were noted. */
function hotOf(pages: PageSet | undefined, area: PageArea): Uint8Array | undefined {
  return pages?.length === area.length ? pages.bitmap : undefined;
}

/**
 * Checks that a page server can read all files of a snapshot as it is to.
 * @throws {MappedRamError} ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE; ERR_MAPPED_RAM_UNSUPPORTED as `ServedMemory.open`
 */
export function assertReadable(snapshot: Snapshot, directIo: Switch | undefined): void {
  if (directIo !== 'on') return;
  for (const source of sourcesBelow(snapshot.reader)) {
    const { fd, name } = localFile(source, 'a lazy restore');
    assertDirectIo({ fd, name });
  }
}

/** The sources that hold pages: a delta's own, then all that are below it. */
export function sourcesBelow(source: OpenSource): readonly OpenSource[] {
  const { overlay } = source;
  return overlay === undefined ? [source] : [overlay.delta, ...sourcesBelow(overlay.base)];
}

async function layersOf(
  source: OpenSource,
  area: PageArea,
  files: readonly OpenSource[],
): Promise<readonly ServedLayer[]> {
  const { overlay } = source;
  if (overlay !== undefined) {
    const own = await layerOf(overlay.delta, area, files);
    return [own, ...(await layersOf(overlay.base, areaInBase(overlay, area), files))];
  }
  return [await layerOf(source, area, files)];
}

async function layerOf(
  source: OpenSource,
  area: PageArea,
  files: readonly OpenSource[],
): Promise<ServedLayer> {
  const file = files.indexOf(source);
  if (file === -1)
    throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'a source of pages is not among its files');
  const { pagesOffset, bitmapOffset } = area;
  // The server reads it itself. One that cannot be read is found here, before QEMU has changed.
  await source.read(bitmapOffset, bitmapBytes(area));
  return { file, pagesOffset, bitmapOffset };
}
