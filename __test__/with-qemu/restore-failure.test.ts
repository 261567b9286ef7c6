import { bitmapBytes } from '../../ts/stream/page-area.ts';
import { readdirSync, readFileSync } from 'node:fs';
import { copyFile, open, readdir, stat, truncate } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { MODE_NAMES, type RestoreMode } from '../../ts/restore/modes/modes.ts';
import { restore } from '../../ts/restore/restore.ts';
import { Snapshot } from '../../ts/snapshot/snapshot.ts';
import { assertNoLeak } from '../support/leaks.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';
import { QEMU_MISSING, qemuTest } from '../support/qemu-required.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.ts';
import { restoreGuest, saveGuest } from '../support/restored-guest.ts';

let dir: TemporaryDirectory;
let snapshot = '';

test.before(async () => {
  dir = await temporaryDirectory();
  snapshot = dir.file('guest.snapshot');
  if (QEMU_MISSING === undefined) await saveGuest({}, snapshot);
});

test.after.always(() => dir[Symbol.asyncDispose]());

/** The ids of this process's children that it has not reaped. */
function children(): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const [, state, parent] = /\) (\S) (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? [];
      return state !== undefined && parent === String(process.pid);
    } catch {
      return false;
    }
  });
}

/** The names in /dev/shm, without those of tests and benchmarks, which run beside this one. */
async function namesInMemory(): Promise<readonly string[]> {
  return (await readdir('/dev/shm')).filter((name) => !/^mapped-ram-(?:test|bench)-/.test(name));
}

/** Runs `body`. @returns the processes, and the files in /dev/shm, that it has left */
async function leavesNothing(body: () => Promise<unknown>): Promise<readonly string[]> {
  const before = new Set([...children(), ...(await namesInMemory())]);
  await body();
  const left = async (): Promise<readonly string[]> =>
    [...children(), ...(await namesInMemory())].filter((name) => !before.has(name));
  // The page server of a memory that is complete is killed, and there until this process hears of its end.
  for (let tries = 0; tries < 40 && (await left()).length > 0; tries += 1) await delay(50);
  return await left();
}

qemuTest('a QEMU that does not start is reported with its own words, and nothing is left', async (t) => {
  for (const mode of MODE_NAMES) {
    const left = await leavesNothing(async () => {
      const late = restoreGuest(snapshot, { extraArgs: ['-device', 'no-such-device'] }, { mode });
      await t.throwsAsync(late, { code: 'ERR_MAPPED_RAM_QEMU', message: /no-such-device/ }, mode);
    });
    t.deepEqual(left, []);
    const missing = restore(snapshot, { mode, binary: '/no/such/qemu', args: ['-machine', 'q35'] });
    await t.throwsAsync(missing, { code: 'ERR_MAPPED_RAM_IO', message: /cannot run QEMU/ });
  }
});

qemuTest('an abort at any moment leaves neither process nor file nor descriptor', async (t) => {
  const enough = new Error('enough');
  const abortAfter = async (mode: RestoreMode, ms: number): Promise<void> => {
    const controller = new AbortController();
    const timer = delay(ms).then(() => controller.abort(enough));
    const restoring = restoreGuest(snapshot, {}, { mode, signal: controller.signal });
    // The restore may be faster than the abort.
    const guest = await restoring.catch((error: unknown) => t.is(error, enough));
    if (typeof guest === 'object') await guest.close();
    await timer;
  };
  await assertNoLeak(
    t,
    () => abortAfter('instant', 1000),
    async () => {
      const left = await leavesNothing(async () => {
        for (const mode of MODE_NAMES) {
          for (let ms = 0; ms < 130; ms += 13) await abortAfter(mode, ms);
        }
      });
      t.deepEqual(left, []);
    },
  );
});

qemuTest('a restore and its end leave descriptors and files as they were', async (t) => {
  for (const mode of MODE_NAMES) {
    const once = async (): Promise<void> => {
      await using guest = await restoreGuest(snapshot, {}, { mode });
      await guest.waitForGenerations(1);
    };
    await assertNoLeak(t, once, async () => t.deepEqual(await leavesNothing(once), []));
  }
});

qemuTest('what is in memory before QEMU maps it has no name', async (t) => {
  const names = new Set(await namesInMemory());
  await using guest = await restoreGuest(snapshot, {}, { mode: 'preload' });
  t.deepEqual(
    (await namesInMemory()).filter((name) => !names.has(name)),
    [],
  );
  t.regex(readFileSync(`/proc/${guest.qemu.pid}/maps`, 'latin1'), /\/dev\/shm\/\S+ \(deleted\)/);
});

qemuTest('a snapshot that is cut off, or whose save was cancelled, is not loaded', async (t) => {
  const { size } = await stat(snapshot);
  const cut = dir.file('cut.snapshot');
  await copyFile(snapshot, cut);
  await truncate(cut, size - 400_000);
  const empty = dir.file('empty.snapshot');
  await copyFile(snapshot, empty);
  await clearBitmaps(empty);
  for (const mode of MODE_NAMES) {
    await t.throwsAsync(restoreGuest(cut, {}, { mode }), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
    await t.throwsAsync(restoreGuest(empty, {}, { mode }), { message: /no page is set in any block/ });
  }
});

qemuTest('what a mode cannot do is refused before QEMU is started', async (t) => {
  const args = ['-machine', 'q35', '-m', '128M'];
  for (const [extra, message] of [
    [['-daemonize'], /-daemonize/],
    [['-m', '129M'], /-m is 129 MiB/],
    [['-device', 'virtio-mem-pci,memdev=x'], /virtio-mem-pci gives memory back/],
    [['-overcommit', 'mem-lock=on'], /mem-lock/],
  ] as const) {
    const late = restore(snapshot, { binary: QEMU_BINARY, args: [...args, ...extra] });
    await t.throwsAsync(late, { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT', message });
  }
});

async function clearBitmaps(path: string): Promise<void> {
  await using opened = await Snapshot.open(path);
  await using file = await open(path, 'r+');
  for (const { area } of opened.completeRam().blocks) {
    const bitmap = new Uint8Array(bitmapBytes(area));
    await file.write(bitmap, 0, bitmap.length, area.bitmapOffset);
  }
}
