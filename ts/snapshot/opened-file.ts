import { byteCount } from '../io/byte-count.ts';
import { FileReader } from '../io/file-reader.ts';
import { snapshotPath } from './snapshot-path.ts';
import type { SnapshotSource } from './snapshot.ts';
import { streamBase } from './stream-base.ts';
import type { TransferFile } from '../engine/transfer.ts';

/** A file that is to be verified, whatever it holds. */
export interface OpenedFile extends AsyncDisposable {
  readonly reader: FileReader;
  /** For the engine. */
  readonly file: TransferFile;
  /** Where the stream starts in it. */
  readonly base: number;
}

/**
 * Of a libvirt save image the stream inside is verified, unless an offset says where to look.
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_INVALID_URI; ERR_MAPPED_RAM_UNSUPPORTED for what is no
 * regular file and for a compressed libvirt image, ERR_MAPPED_RAM_INCOMPLETE for one that was not finished,
 * ERR_MAPPED_RAM_UNSUPPORTED_VERSION
 */
export async function openFile(source: SnapshotSource, signal: AbortSignal | undefined): Promise<OpenedFile> {
  if (typeof source === 'string' || source instanceof URL) {
    const { filename: path, offset } = snapshotPath(source);
    return over(await FileReader.open(path, signal), { path }, offset);
  }
  const offset = byteCount('offset of the snapshot', source.offset ?? 0);
  const { fd } = source;
  return over(await FileReader.over(fd, signal), { fd }, offset);
}

async function over(
  reader: FileReader,
  where: { path: string } | { fd: number },
  offset: number,
): Promise<OpenedFile> {
  try {
    const base = await streamBase(reader, offset);
    const file = { ...where, name: reader.name };
    return { reader, file, base, [Symbol.asyncDispose]: async () => reader.close() };
  } catch (error) {
    await reader.close();
    throw error;
  }
}
