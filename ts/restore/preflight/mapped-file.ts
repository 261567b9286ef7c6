import { MappedRamError } from '../../errors.ts';
import { type FileIdentity, identityOf } from '../../host/file-identity.ts';
import { type FileInProcess, findFileIn } from '../../host/process-mappings.ts';
import { localFile } from '../../io/open-source.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** The file that a snapshot's memory is mapped out of, for comparison with QEMU's mappings. */
export interface MappedFile {
  readonly path: string;
  readonly identity: FileIdentity;
  /**
   * True when QEMU's process maps this very file at an offset, whatever the file's names are meanwhile. Undefined when
   * the process cannot be looked into: it is not known, not ours, or on another host.
   */
  readonly isMappedAt: ((offset: number) => boolean) | undefined;
}

/**
 * Looks at the file that the snapshot has open, or its base, and at QEMU's process.
 * @param pid QEMU's process, when it is known
 */
export async function lookAtFile(snapshot: Snapshot, pid: number | undefined): Promise<MappedFile> {
  const { path, reader } = snapshot.mappable;
  const identity = identityOf(localFile(reader, 'a restore').fd);
  if (identity === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'the open file cannot be identified', {
      path,
    });
  }
  const found = pid === undefined ? undefined : await findFileIn(pid, identity);
  const isMappedAt = found && ((offset: number): boolean => isMapped(found, offset));
  return { path, identity, isMappedAt };
}

function isMapped({ isOpen, mappings }: FileInProcess, offset: number): boolean {
  if (!isOpen) return false;
  // The open descriptor has to do on filesystems whose mappings show other inode numbers.
  if (mappings.length === 0) return true;
  return mappings.some(
    (mapping) => mapping.offset <= offset && offset < mapping.offset + (mapping.end - mapping.start),
  );
}
