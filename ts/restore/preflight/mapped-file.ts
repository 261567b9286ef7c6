import { fstatSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';

import type { QmpClient } from '../../qmp/client.ts';
import { localFile } from '../../io/open-source.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';

/** Address range, rights, offset, device and inode of a mapping (proc_pid_maps(5)). */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+)/;

const NOWHERE = (): boolean => false;

/** A snapshot's file, as it is compared with what a QEMU maps. */
export interface MappedFile {
  readonly path: string;
  readonly dev: bigint;
  readonly ino: bigint;
  /**
   * Whether QEMU's process maps this very file at an offset, whatever the file's names are meanwhile. Undefined when
   * one cannot look: the process is not known, not ours to look into, or on another host.
   */
  readonly isMappedAt: ((offset: number) => boolean) | undefined;
}

/** Looks at the file that the snapshot has open, and at QEMU's process. */
export async function lookAtFile(
  snapshot: Snapshot,
  { pid, peerPid }: Pick<QmpClient, 'pid' | 'peerPid'>,
): Promise<MappedFile> {
  const { dev, ino } = fstatSync(localFile(snapshot.reader, 'a restore').fd, { bigint: true });
  const process = pid ?? peerPid;
  const found = process === undefined ? undefined : await mappingsOf(process, { dev, ino });
  // A peer without the file may be no QEMU: somebody in between.
  const isMappedAt = found === NOWHERE && pid === undefined ? undefined : found;
  return { path: snapshot.path, dev, ino, isMappedAt };
}

async function mappingsOf(
  pid: number,
  file: Pick<MappedFile, 'dev' | 'ino'>,
): Promise<MappedFile['isMappedAt']> {
  const isOpen = await hasOpen(pid, file);
  if (isOpen !== true) return isOpen === undefined ? undefined : NOWHERE;
  const lines = await readFile(`/proc/${pid}/maps`, 'latin1').catch(() => '');
  const ranges = lines.split('\n').flatMap((line) => {
    const [, start = '', end = '', at = '', ino = ''] = MAPPING.exec(line) ?? [];
    // Some filesystems have another device number here than in stat, which is why descriptors were looked at first.
    if (ino !== String(file.ino)) return [];
    const offset = Number.parseInt(at, 16);
    return [{ offset, end: offset + Number(BigInt(`0x${end}`) - BigInt(`0x${start}`)) }];
  });
  // And some have another inode: then the descriptor has to do.
  return ranges.length === 0
    ? () => true
    : (offset) => ranges.some((range) => range.offset <= offset && offset < range.end);
}

/** QEMU keeps the descriptors of what it maps. Undefined when one may not look. */
async function hasOpen(
  pid: number,
  { dev, ino }: Pick<MappedFile, 'dev' | 'ino'>,
): Promise<boolean | undefined> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await readdir(directory).catch(() => undefined);
  if (descriptors === undefined) return undefined;
  for (const fd of descriptors) {
    const found = await stat(`${directory}/${fd}`, { bigint: true }).catch(() => undefined);
    if (found?.dev === dev && found.ino === ino) return true;
  }
  return false;
}
