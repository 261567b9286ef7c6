import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import { identifyQemu } from '../../qemu/identify-qemu.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpObject, type QmpObject } from '../../qmp/json.ts';
import { answerOf } from '../../qmp/refusal.ts';

/** The byte that a QEMU has locked while it lets nobody else write an image (docs/format.md §4.3). */
const NOBODY_ELSE_WRITES = 201;
/** QEMU's drivers of images that are files or devices of the host. */
const LOCKED_DRIVERS: ReadonlySet<unknown> = new Set(['file', 'host_device']);
const OFD_LOCK = /^\d+: OFDLCK\s+ADVISORY\s+\S+\s+-?\d+\s+([0-9a-f]+:[0-9a-f]+:\d+)\s+(\d+)\s+(\d+|EOF)/;

/**
 * Warns of disk images that another QEMU has for itself. A QEMU that waits for a guest takes its disks only when the
 * guest is to run, so the load goes well, and `cont` fails. What cannot be seen is no reason for a warning.
 * @throws {MappedRamError} when the connection is lost
 */
export async function diskWarnings(qmp: QmpClient, wait: WaitOptions): Promise<readonly string[]> {
  const held = await heldFiles();
  if (held.size === 0) return [];
  const warnings: string[] = [];
  const { pid } = await identifyQemu(qmp, wait);
  for (const path of new Set((await imagesOf(qmp, wait)).map((node) => node.path))) {
    const key = await keyOf(path, pid);
    if (key === undefined || !held.has(key)) continue;
    warnings.push(
      `the disk ${path} is in use by another QEMU, which lets nobody else write it: as long as that is so, this guest cannot run (cont fails with "Failed to get "write" lock")`,
    );
  }
  return warnings;
}

async function imagesOf(qmp: QmpClient, wait: WaitOptions): Promise<readonly { readonly path: string }[]> {
  const nodes = await answerOf(qmp.execute<string>('query-named-block-nodes', { flat: true }, wait));
  const found = Array.isArray(nodes) ? nodes.filter((node): node is QmpObject => isQmpObject(node)) : [];
  return found.flatMap(({ drv, ro, file }) =>
    LOCKED_DRIVERS.has(drv) && ro === false && typeof file === 'string' ? [{ path: file }] : [],
  );
}

/** The files, as the kernel's list of locks has them, that somebody keeps others from writing. */
async function heldFiles(): Promise<ReadonlySet<string>> {
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  const files = locks.split('\n').flatMap((line) => {
    const [, file = '', first, last] = OFD_LOCK.exec(line) ?? [];
    const covers =
      Number(first) <= NOBODY_ELSE_WRITES && (last === 'EOF' || Number(last) >= NOBODY_ELSE_WRITES);
    return covers ? [file] : [];
  });
  return new Set(files);
}

/** The name of a file in the kernel's list of locks; undefined when the file cannot be seen from here. */
async function keyOf(path: string, pid: number | undefined): Promise<string | undefined> {
  const asQemuSees = pid === undefined ? path : join(`/proc/${pid}`, isAbsolute(path) ? 'root' : 'cwd', path);
  const found = await stat(asQemuSees)
    .catch(() => stat(path))
    .catch(() => undefined);
  if (found === undefined) return undefined;
  const { dev, ino } = found;
  const major = ((dev >>> 8) & 0xfff).toString(16).padStart(2, '0');
  const minor = ((dev & 0xff) | ((dev >>> 12) & 0xfff00)).toString(16).padStart(2, '0');
  return `${major}:${minor}:${ino}`;
}

/** Adds the disks to QEMU's refusal to let a guest run, which names none. */
export function withDisks(error: unknown, warnings: readonly string[]): unknown {
  if (warnings.length === 0 || !(error instanceof MappedRamError) || error.qmp === undefined) return error;
  const { code, qmp, rule, migration, path } = error;
  const message = [error.shortMessage, ...warnings].join('; ');
  return new MappedRamError(code, message, { qmp, rule, migration, path, cause: error.cause });
}
