import { readlink } from 'node:fs/promises';

import { identityOf, isSameFile } from '../host/file-identity.ts';
import { pathInProcess } from '../host/path-in-process.ts';
import type { SourceFacts } from './source-facts.ts';

/**
 * The name of the file that a QEMU has most of its guest's memory mapped out of, privately, as every clone has. Whether
 * that is a snapshot, and the one that QEMU maps, is for others to find out.
 *
 * @returns undefined when there is no such file, or nobody may see it
 */
export async function nameOfMappedFile({ memory, pid }: SourceFacts): Promise<string | undefined> {
  const [largest] = memory
    .filter(({ backend }) => backend?.path !== undefined && !backend.share)
    .toSorted((one, other) => other.length - one.length);
  const path = largest?.backend?.path;
  const seen = path === undefined || pid === undefined ? undefined : pathInProcess(pid, path);
  if (seen === undefined) return undefined;
  // A clone's QEMU knows the file by a descriptor. Others find it by its name, as long as it has one.
  const [name, found] = [await readlink(seen).catch(() => undefined), identityOf(seen)];
  const named = name === undefined ? undefined : identityOf(name);
  const isNamed = found !== undefined && named !== undefined && isSameFile(named, found);
  return name !== undefined && isNamed ? name : seen;
}
