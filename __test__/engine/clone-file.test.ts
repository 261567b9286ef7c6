import { spawnSync } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { cloneFile } from '../../ts/engine/clone-file.ts';
import { filesystem } from '../support/loop-filesystem.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** The bytes of a file that the filesystem was asked to copy at once; undefined where there is no program to ask. */
function copiedAtOnce(path: string): number | undefined {
  const { stdout, error } = spawnSync('xfs_io', ['-c', 'cowextsize', path], { encoding: 'utf8' });
  return error === undefined ? Number(/\[(\d+)\]/.exec(stdout)?.[1]) : undefined;
}

// Blocks that are larger than the host's pages take Linux 6.12.
for (const block of [1024, 4096, 8192, 65_536]) {
  test.serial(`a file is cloned on XFS with blocks of ${block} bytes`, async (t) => {
    await using outer = await temporaryDirectory();
    await using dir = await filesystem(t, outer, 'xfs', '-b', `size=${block}`);
    if (dir === undefined) {
      t.pass('this host mounts no such filesystem');
      return;
    }
    const [from, into] = [dir.file('from'), dir.file('into')];
    const bytes = Buffer.alloc(10 * block + 100, 'some words');
    await writeFile(from, bytes);
    await writeFile(into, 'what goes');
    const [source, target] = [await open(from), await open(into, 'r+')];
    try {
      t.is(await cloneFile(source.fd, target.fd, into), undefined);
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
    t.is(Buffer.compare(await readFile(into), bytes), 0);
    const found = copiedAtOnce(into);
    if (found === undefined) t.log('NOT TRIED: there is no xfs_io');
    else t.is(found, Math.max(4096, block));
  });
}
