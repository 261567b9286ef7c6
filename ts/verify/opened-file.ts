import { byteCount } from '../snapshot/byte-count.ts';
import { FileReader } from '../snapshot/file-reader.ts';
import { snapshotPath } from '../snapshot/snapshot-path.ts';
import type { SnapshotSource } from '../snapshot/snapshot.ts';
import type { TransferFile } from '../transfer/run-transfer.ts';

/** A file that is to be verified, whatever it holds. */
export interface OpenedFile extends AsyncDisposable {
  readonly reader: FileReader;
  /** For the engine. */
  readonly file: TransferFile;
  /** Where the stream starts in it. */
  readonly base: number;
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_IO, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_INVALID_URI */
export async function openFile(source: SnapshotSource, signal: AbortSignal | undefined): Promise<OpenedFile> {
  if (typeof source === 'string' || source instanceof URL) {
    const { filename: path, offset: base } = snapshotPath(source);
    return over(await FileReader.open(path, signal), { path }, base);
  }
  const base = byteCount('offset of the snapshot', source.offset ?? 0);
  const { fd } = source;
  return over(await FileReader.over(fd, signal), { fd }, base);
}

function over(reader: FileReader, where: { path: string } | { fd: number }, base: number): OpenedFile {
  const file = { ...where, name: reader.name };
  return { reader, file, base, [Symbol.asyncDispose]: async () => reader.close() };
}
