import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSync } from 'node:fs';

import { MIB } from '../support/qemu.ts';

export type SmallFilesystemKind = 'ext4' | 'tmpfs';

/** A mounted filesystem that is too small for a snapshot. */
export class SmallFilesystem implements AsyncDisposable {
  /** An empty directory in it. */
  readonly path: string;
  readonly #base: string;
  readonly #mountPoint: string;

  private constructor(base: string, mountPoint: string, path: string) {
    this.#base = base;
    this.#mountPoint = mountPoint;
    this.path = path;
  }

  /** @returns undefined where the mount fails, which stderr then says: a mount takes root, and ext4 a loop device */
  static async mount(kind: SmallFilesystemKind, sizeMiB: number): Promise<SmallFilesystem | undefined> {
    const base = await mkdtemp(join(tmpdir(), 'mapped-ram-small-'));
    const mountPoint = join(base, 'mounted');
    await mkdir(mountPoint);
    const problem =
      kind === 'tmpfs'
        ? run('mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'mapped-ram-test', mountPoint)
        : await mountExt4(join(base, 'image'), sizeMiB, mountPoint);
    if (problem !== undefined) {
      await rm(base, { recursive: true });
      writeSync(2, `\n*** SMALL FILESYSTEM ${kind} SKIPPED: ${problem} ***\n`);
      return undefined;
    }
    const path = join(mountPoint, 'snapshots');
    await mkdir(path);
    return new SmallFilesystem(base, mountPoint, path);
  }

  /** Mounts the filesystem again, read-only. @throws when it is in use */
  makeReadOnly(): void {
    const problem = run('mount', '-o', 'remount,ro', this.#mountPoint);
    if (problem !== undefined) throw new Error(problem);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const problem = run('umount', this.#mountPoint);
    if (problem !== undefined) throw new Error(problem);
    await rm(this.#base, { recursive: true });
  }
}

async function mountExt4(image: string, sizeMiB: number, mountPoint: string): Promise<string | undefined> {
  await writeFile(image, '');
  await truncate(image, sizeMiB * MIB);
  return run('mkfs.ext4', '-q', image) ?? run('mount', '-o', 'loop', image, mountPoint);
}

/** Runs a command. @returns its error; undefined when it succeeds */
function run(command: string, ...args: readonly string[]): string | undefined {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `${command}: ${error?.message ?? stderr.trim()}`;
}
