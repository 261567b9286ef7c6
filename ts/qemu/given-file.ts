import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import { FdSet } from './fd-set.ts';
import { NamedFd } from './named-fd.ts';
import type { QemuFeatures } from './qemu-facts.ts';

/** A file for QEMU to write to or to read. */
export interface FileForQemu extends WaitOptions {
  readonly path: string;
  /** Offset of the stream's start in the file, in bytes; 0 for a QEMU that knows no files as transport. */
  readonly offset: number | bigint;
  readonly access: 'read' | 'write';
  /** Adds a descriptor with O_DIRECT; see `FdSet.open`. */
  readonly direct: boolean;
  /** The tag of the descriptors; see `FdSet.of`. */
  readonly tag?: string | undefined;
}

/** The address under which QEMU finds a file. Dispose of it when the migration is over, whichever way. */
export interface GivenFile extends AsyncDisposable {
  readonly address: MigrationAddress;
}

/**
 * Gives QEMU a file the way that this QEMU can take it: as a set of descriptors, as one descriptor with a name, or by
 * the file's name.
 *
 * @param opensHere the plan's decision `fdset`: this process opens the file
 * @throws {MappedRamError} as `FdSet.open` and `NamedFd.open`
 */
export async function giveFile(
  qmp: QmpClient,
  { fileTransport }: Pick<QemuFeatures, 'fileTransport'>,
  opensHere: boolean,
  { offset, ...file }: FileForQemu,
): Promise<GivenFile> {
  if (!opensHere) {
    const address = { transport: 'file', filename: file.path, offset } as const;
    return { address, [Symbol.asyncDispose]: async () => undefined };
  }
  if (!fileTransport) return NamedFd.open(qmp, file);
  const set = await FdSet.open(qmp, file);
  const address = { transport: 'file', filename: set.filename, offset } as const;
  return { address, [Symbol.asyncDispose]: () => set.close() };
}
