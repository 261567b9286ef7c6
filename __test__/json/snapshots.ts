import { open, readdir, readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

import { decodeInput } from '../../fuzz/sparse-input.ts';
import type { TemporaryDirectory } from '../support/temporary.ts';

/** The folder of files that QEMU 10.0.2 wrote, and that make-snapshots.ts reduced and compressed. */
export const SNAPSHOTS: URL = new URL('snapshots/', import.meta.url);

/** Writes all snapshots to a directory, as sparse files, each under its name. */
export async function writeSnapshots(dir: TemporaryDirectory): Promise<void> {
  for (const name of await readdir(SNAPSHOTS)) {
    const { size, extents } = decodeInput(gunzipSync(await readFile(new URL(name, SNAPSHOTS))));
    await using handle = await open(dir.file(name.replace(/\.gz$/, '')), 'w');
    await handle.truncate(size);
    for (const { offset, bytes } of extents) await handle.write(bytes, 0, bytes.length, offset);
  }
}
