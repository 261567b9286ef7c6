import { readdir, rm } from 'node:fs/promises';

import { assertOptions } from '../io/assert-options.ts';
import { defaultQemu, findQemu, type QemuFinding } from '../qemu/process/find-qemu.ts';
import { MappedRamError } from '../errors.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import type { DemoOptions, DemoResult } from './demo-options.ts';
import { choosePlaces, DEFAULT_DEMO, SMALLEST_DEMO } from './demo-places.ts';
import { DemoRun } from './demo-run.ts';
import { guestDemo, type UsableQemu } from './guest-demo.ts';
import { syntheticDemo } from './synthetic-demo.ts';

const MIB = 1024 * 1024;

/**
 * Shows that this package works: saves and restores a real guest where there is QEMU 9.0 or later, synthetic memory
 * elsewhere, and compares every byte. Takes seconds, and leaves nothing behind: no process, and no file but a snapshot
 * that was to be kept. A difference is part of the result, not an error.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for the size, ERR_MAPPED_RAM_IO when there is no room,
 * ERR_MAPPED_RAM_QEMU when QEMU fails, ERR_MAPPED_RAM_TIMEOUT when the guest does not get on, ERR_MAPPED_RAM_CORRUPT
 * when the guest finds its memory wrong; the signal's reason
 */
export async function demo(options: DemoOptions = {}): Promise<DemoResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { size = DEFAULT_DEMO, signal, keep = false } = options;
  if (!Number.isSafeInteger(size) || size < SMALLEST_DEMO || size % MIB !== 0) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', "size of the demo's guest", {
      expected: `whole MiB, at least ${SMALLEST_DEMO / MIB}`,
      found: size,
    });
  }
  signal?.throwIfAborted();
  const places = await choosePlaces(size, options.directory);
  const qemu = await findQemu({ binary: options.qemu ?? defaultQemu('x86_64'), signal });
  await using run = await DemoRun.create(places, options);
  const snapshot = run.disk.file('guest.mr');
  const usable = isUsable(qemu) ? qemu : undefined;
  const { accelerator, ...measures } =
    usable === undefined
      ? { ...(await syntheticDemo(run, snapshot)), accelerator: '' }
      : await guestDemo(run, snapshot, usable);
  const pages = await pagesOf(snapshot);
  if (keep) await keepOnly(run, snapshot);
  return {
    mode: usable === undefined ? 'synthetic' : 'qemu',
    modeWhy: usable === undefined ? qemu.why : undefined,
    qemu: usable === undefined ? undefined : { path: usable.path, version: usable.version, accelerator },
    size: places.size,
    sizeWhy: places.sizeWhy,
    memoryDirectory: places.memoryDirectory,
    directory: places.snapshotDirectory,
    snapshot: keep ? snapshot : undefined,
    ...pages,
    qemuLoadMs: undefined,
    generation: undefined,
    ...measures,
    checks: run.checks,
    verified: run.checks.length > 0 && run.checks.every(({ verified }) => verified),
    elapsedMs: performance.now() - startedAt,
  };
}

function isUsable(qemu: QemuFinding): qemu is UsableQemu {
  return qemu.mappedRam && qemu.path !== undefined && qemu.version !== undefined;
}

async function pagesOf(path: string): Promise<Pick<DemoResult, 'pages' | 'zeroPages'>> {
  await using snapshot = await Snapshot.open(path);
  const { blocks } = await snapshot.info();
  return {
    pages: blocks.reduce((sum, block) => sum + block.pages, 0),
    zeroPages: blocks.reduce((sum, block) => sum + block.zeroPages, 0),
  };
}

async function keepOnly(run: DemoRun, snapshot: string): Promise<void> {
  for (const name of await readdir(run.disk.path)) {
    const path = run.disk.file(name);
    if (path !== snapshot) await rm(path, { force: true });
  }
  run.disk.keep();
}
