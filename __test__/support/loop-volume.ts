import { spawnSync } from 'node:child_process';
import { rmSync, writeSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, stat, statfs, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SECTOR = 512;

export type LoopVolumeKind = 'xfs' | 'btrfs';

/** A filesystem that shares blocks between files, in a file of its own. */
export class LoopVolume implements AsyncDisposable {
  readonly path: string;
  readonly #directory: string;

  private constructor(directory: string, path: string) {
    this.#directory = directory;
    this.path = path;
  }

  /** @returns undefined where there can be none, which stderr then says: it takes root, a loop device and mkfs */
  static async mount(kind: LoopVolumeKind, sizeMiB: number): Promise<LoopVolume | undefined> {
    const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-loop-'));
    const [image, path] = [join(directory, 'image'), join(directory, 'mounted')];
    await mkdir(path);
    const file = await open(image, 'w');
    await file.truncate(sizeMiB * 2 ** 20);
    await file.close();
    for (const [program = '', ...args] of [
      [`mkfs.${kind}`, '-q', image],
      ['mount', '-o', 'loop', image, path],
    ]) {
      const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
      if (status === 0) continue;
      writeSync(2, `\n*** NO ${kind}: ${program}: ${error?.message ?? stderr.trim()} ***\n`);
      await rm(directory, { recursive: true });
      return undefined;
    }
    mounted.add(directory);
    return new LoopVolume(directory, path);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Bytes in use, once everything is written back. */
  async used(): Promise<number> {
    spawnSync('sync', ['-f', this.path]);
    const { blocks, bfree, bsize } = await statfs(this.path);
    return (blocks - bfree) * bsize;
  }

  /** Bytes that were read from the disk so far, by whomever. */
  async bytesRead(): Promise<number> {
    const { dev } = await stat(this.path);
    // A device's number has 20 bits for the minor part, of which the upper 12 stand above the major part.
    const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
    const numbers = await readFile(`/sys/dev/block/${major}:${minor}/stat`, 'latin1');
    return Number(numbers.trim().split(/\s+/)[2]) * SECTOR;
  }

  /**
   * Takes the disk away: a read of what is not in the page cache is an error from now on.
   * @throws when somebody has a file open for writing
   */
  async loseDisk(): Promise<void> {
    // A write would make the image long again, with zeros to be read.
    const { status, stderr } = spawnSync('mount', ['-o', 'remount,ro', this.path], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`mount: ${stderr}`);
    await truncate(join(this.#directory, 'image'), 0);
  }

  /** @throws when somebody still uses the filesystem */
  async [Symbol.asyncDispose](): Promise<void> {
    const { status, stderr } = spawnSync('umount', [this.path], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`umount: ${stderr}`);
    mounted.delete(this.#directory);
    await rm(this.#directory, { recursive: true });
  }
}

const mounted = new Set<string>();

// A run that is interrupted must leave no volume. One that a QEMU still uses goes with that QEMU.
process.on('exit', () => {
  for (const directory of mounted) {
    if (spawnSync('umount', ['-l', join(directory, 'mounted')]).status === 0)
      rmSync(directory, { recursive: true });
  }
});
