import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { mkdir, truncate } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { TemporaryDirectory } from './temporary.ts';

const MIB = 2 ** 20;

/**
 * A filesystem of a kind in a file of its own; undefined where there can be none, which stderr then says.
 * @param options of mkfs
 */
export async function filesystem(
  t: ExecutionContext,
  dir: TemporaryDirectory,
  kind: 'xfs' | 'btrfs',
  ...options: readonly string[]
): Promise<TemporaryDirectory | undefined> {
  const [image, at] = [dir.file(`${kind}.img`), dir.file(kind)];
  await mkdir(at);
  await truncate(image, 600 * MIB).catch(() => spawnSync('truncate', ['-s', '600M', image]));
  for (const [program = '', ...args] of [
    [`mkfs.${kind}`, '-q', ...options, image],
    ['mount', '-o', 'loop', image, at],
  ]) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status === 0) continue;
    writeSync(2, `\n*** NO ${kind}: ${program}: ${error?.message ?? stderr.trim()} ***\n`);
    return undefined;
  }
  const mounted = new MountedDirectory(at);
  t.teardown(() => mounted[Symbol.asyncDispose]());
  return mounted;
}

/** Disposal unmounts the directory; a second time does nothing. */
class MountedDirectory extends TemporaryDirectory {
  #isMounted = true;

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isMounted) spawnSync('umount', [this.path]);
    this.#isMounted = false;
  }
}
