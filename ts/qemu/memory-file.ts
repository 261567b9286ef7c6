import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';

import type { MemoryBackend, MemoryFile } from './plan.ts';

/** Where a block's memory is, when the engine can read it there. */
export interface MemoryPlace {
  readonly file: MemoryFile | undefined;
  /** In words. */
  readonly why: string;
}

/**
 * Finds the file that a memory backend shares, and makes sure that it is that file and can be read here.
 * @param length bytes of the block
 * @param pid QEMU's process, when it is known
 */
export async function locateMemory(
  backend: MemoryBackend | undefined,
  length: number,
  pid: number | undefined,
): Promise<MemoryPlace> {
  if (backend === undefined) return nowhere('it belongs to a device or is firmware');
  const { type, share, path, offset } = backend;
  if (type !== 'memory-backend-file' || path === undefined) {
    return nowhere(`${type} has no file with a name`);
  }
  if (!share) return nowhere(`QEMU has a private copy of ${path} (share=off)`);
  const found = await stat(path).catch((error: unknown) => messageOf(error));
  if (typeof found === 'string') return nowhere(`${path} cannot be seen here: ${found}`);
  if (!found.isFile()) return nowhere(`${path} is no file; QEMU has one without a name`);
  if (found.size < offset + length) return nowhere(`${path} is too small: not the file that QEMU uses`);
  const refused = await access(path, constants.R_OK).then(
    () => undefined,
    (error: unknown) => messageOf(error),
  );
  if (refused !== undefined) return nowhere(`${path} cannot be read here: ${refused}`);
  const confirmed = pid === undefined ? undefined : await isOpenIn(pid, found);
  if (confirmed === false) return nowhere(`${path} is another file here than the one QEMU uses`);
  return { file: { path, offset, confirmed: confirmed === true }, why: `QEMU shares it in ${path}` };
}

/** Whether the process has the file open, as QEMU does with its memory files; undefined when one may not look. */
async function isOpenIn(
  pid: number,
  { dev, ino }: { readonly dev: number; readonly ino: number },
): Promise<boolean | undefined> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await readdir(directory).catch(() => undefined);
  if (descriptors === undefined) return undefined;
  for (const fd of descriptors) {
    const open = await stat(`${directory}/${fd}`).catch(() => undefined);
    if (open?.dev === dev && open.ino === ino) return true;
  }
  return false;
}

function nowhere(why: string): MemoryPlace {
  return { file: undefined, why };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
