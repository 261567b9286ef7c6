import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';

import { messageOf } from '../../errors.ts';
import { pathInProcess } from '../../host/path-in-process.ts';
import { isMappedBy } from '../../host/process-mappings.ts';
import type { MemoryBackend, MemoryFile } from './memory-block.ts';
import type { RamBlockRow } from './query-ram-blocks.ts';

/** The place of a block's memory, when the engine can read it there. */
export interface MemoryPlace {
  readonly file: MemoryFile | undefined;
  /** The reason in words. */
  readonly why: string;
}

/** A name that is valid only as long as one process has one file open. */
const DESCRIPTOR_PATH = /^\/(?:proc\/[^/]+|dev)\/fd\//;

/**
 * Finds the file that a memory backend shares, and makes sure that it is QEMU's file and can be read here.
 * @param block the block that the backend belongs to
 * @param pid QEMU's process, when it is known
 */
export async function locateMemory(
  backend: MemoryBackend | undefined,
  { usedLength, hostAddress }: Pick<RamBlockRow, 'usedLength' | 'hostAddress'>,
  pid: number | undefined,
): Promise<MemoryPlace> {
  if (backend === undefined) return nowhere('it belongs to a device or is firmware');
  const { type, share, path: given, offset } = backend;
  if (type !== 'memory-backend-file' || given === undefined) {
    return nowhere(`${type} has no file with a name`);
  }
  if (!share) return nowhere(`QEMU has a private copy of ${given} (share=off)`);
  const path = pathInProcess(pid, given);
  if (path === undefined) return nowhere(`that QEMU uses ${given} ${unseen(pid)}`);
  const found = await stat(path, { bigint: true }).catch(messageOf);
  if (typeof found === 'string') return nowhere(`${path} cannot be seen here: ${found}`);
  if (!found.isFile()) return nowhere(`${path} is no file; QEMU has one without a name`);
  if (found.size < offset + usedLength) return nowhere(`${path} is too small: not the file that QEMU uses`);
  const refused = await access(path, constants.R_OK).then(() => undefined, messageOf);
  if (refused !== undefined) return nowhere(`${path} cannot be read here: ${refused}`);
  const place = { address: hostAddress, offset };
  const confirmed = pid === undefined ? undefined : await isMappedBy(pid, found, place);
  if (confirmed === true) {
    return { file: { path, offset, confirmed }, why: `QEMU shares it in ${path}` };
  }
  if (confirmed === false) return nowhere(`${path} is another file here than the one QEMU uses`);
  const doubt = `that QEMU uses ${path} ${unseen(pid)}`;
  if (DESCRIPTOR_PATH.test(path)) return nowhere(doubt);
  return { file: { path, offset, confirmed: false }, why: doubt };
}

function unseen(pid: number | undefined): string {
  return pid === undefined
    ? 'cannot be seen: nothing tells which process it is'
    : `cannot be seen: the memory map of process ${pid} is closed to this one`;
}

function nowhere(why: string): MemoryPlace {
  return { file: undefined, why };
}
