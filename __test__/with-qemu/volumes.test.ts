import { spawnSync } from 'node:child_process';
import { createReadStream, writeSync } from 'node:fs';
import { open, readFile, stat, truncate } from 'node:fs/promises';

import type { ExecutionContext } from 'ava';

import { convert, diff, extract, save, Snapshot, verify, type RestoreMode } from '../../ts/index.ts';
import { MIB, startGuest } from '../support/qemu.ts';
import { qemuTest } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';

const SETUP = { memoryMiB: 64, region: { start: 16 * MIB, length: 8 * MIB }, backend: 'ram' } as const;

/**
 * Puts a stream at the beginning of a volume that held a longer stream before: noise follows it, and the volume ends as
 * that stream did.
 */
async function makeVolume(stream: string, volume: string): Promise<void> {
  const { size } = await stat(stream);
  const bytes = await readFile(stream);
  await using handle = await open(volume, 'w');
  await handle.write(Buffer.alloc(3 * MIB, 0x06), 0, 3 * MIB, size);
  const end = Math.ceil((size * 2 + 80 * MIB) / 4096) * 4096;
  await handle.write(bytes, 0, size, end - size);
  await handle.write(bytes, 0, size, 0);
}

/** A block device over a file; undefined where there can be none, which stderr then says. */
function loopOver(t: ExecutionContext, path: string): string | undefined {
  const { status, stdout, stderr, error } = spawnSync('losetup', ['-f', '--show', path], {
    encoding: 'utf8',
  });
  if (status === 0) {
    const device = stdout.trim();
    t.teardown(() => void spawnSync('losetup', ['-d', device]));
    return device;
  }
  writeSync(2, `\n*** NO BLOCK DEVICE: ${error?.message ?? stderr.trim()} ***\n`);
  return undefined;
}

async function savedIn(dir: TemporaryDirectory, mappedRam: 'auto' | 'off'): Promise<string> {
  await using guest = await startGuest(SETUP);
  await guest.waitForGenerations(2);
  const path = dir.file('stream');
  await save(guest.qmp, path, { mappedRam });
  return path;
}

qemuTest('a plain stream on a larger volume is converted up to its end', async (t) => {
  await using dir = await temporaryDirectory();
  const stream = await savedIn(dir, 'off');
  const expected = dir.file('expected');
  await convert(stream, expected);
  await makeVolume(stream, dir.file('volume'));
  const zeros = dir.file('zeros');
  await convert(stream, dir.file('copy'));
  spawnSync('cp', [stream, zeros]);
  await truncate(zeros, (await stat(stream)).size + 100 * MIB);
  const device = loopOver(t, dir.file('volume'));
  const sources = [
    dir.file('volume'),
    zeros,
    createReadStream(dir.file('volume')),
    createReadStream(zeros),
    ...(device === undefined ? [] : [device]),
  ];
  for (const [index, source] of sources.entries()) {
    await convert(source, dir.file('result'), { overwrite: true });
    t.is(Buffer.compare(await readFile(dir.file('result')), await readFile(expected)), 0, String(index));
  }
  await using snapshot = await Snapshot.open(device ?? dir.file('volume'));
  t.like(await snapshot.info(), { complete: true, form: 'plain' });
  await using clone = await restoreGuest(expected, SETUP, {});
  await clone.assertAlive();
});

qemuTest('a snapshot on a volume is read, compared, verified, taken apart and restored', async (t) => {
  await using dir = await temporaryDirectory();
  const stream = await savedIn(dir, 'auto');
  await makeVolume(stream, dir.file('volume'));
  const device = loopOver(t, dir.file('volume'));
  for (const place of device === undefined ? [dir.file('volume')] : [dir.file('volume'), device]) {
    await using snapshot = await Snapshot.open(place);
    t.true((await snapshot.info()).complete);
    const { findings } = await verify(place);
    t.deepEqual(
      findings.map(({ code }) => code),
      ['trailing-bytes'],
    );
    t.true((await diff(place, stream)).equal);
    const [part, whole] = [dir.file('part'), dir.file('whole')];
    const block = { format: 'raw', block: 'm0', overwrite: true } as const;
    await extract(place, part, block);
    await extract(stream, whole, block);
    t.is(Buffer.compare(await readFile(part), await readFile(whole)), 0);
    for (const mode of ['instant', 'preload', 'eager', 'lazy'] satisfies RestoreMode[]) {
      await using clone = await restoreGuest(place, SETUP, { mode });
      await clone.assertAlive();
    }
  }
});
