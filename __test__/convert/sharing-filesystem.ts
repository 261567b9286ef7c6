import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';

import { TemporaryDirectory } from '../support/temporary.ts';

const BYTES = 600 * 2 ** 20;

/**
 * Mounts a filesystem whose files can share blocks, in a file of its own. Disposal unmounts it.
 * @param dir has the file; dispose of it later
 * @param options of mkfs
 * @returns undefined where there can be none, which stderr then says: it takes the programs, root and a loop device
 */
export async function sharingFilesystem(
  dir: TemporaryDirectory,
  kind: 'xfs' | 'btrfs',
  ...options: readonly string[]
): Promise<TemporaryDirectory | undefined> {
  const [image, at] = [dir.file(`${kind}.img`), dir.file(kind)];
  await mkdir(at);
  await writeFile(image, '');
  await truncate(image, BYTES);
  for (const [program = '', ...args] of [
    [`mkfs.${kind}`, '-q', ...options, image],
    ['mount', '-o', 'loop', image, at],
  ]) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status === 0) continue;
    writeSync(2, `\n*** ${kind.toUpperCase()} SKIPPED: ${program}: ${error?.message ?? stderr.trim()} ***\n`);
    return undefined;
  }
  return new MountedDirectory(at);
}

class MountedDirectory extends TemporaryDirectory {
  /** Unmounts it. The directory and the file stay. */
  override async [Symbol.asyncDispose](): Promise<void> {
    const { status, stderr } = spawnSync('umount', [this.path], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`umount ${this.path}: ${stderr}`);
  }
}
