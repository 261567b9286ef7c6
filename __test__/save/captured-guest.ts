import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, openSync, writeSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';

import type { ExecutionContext } from 'ava';

import { verify } from '../../ts/index.ts';
import type { RestoreMode } from '../../ts/restore/modes/modes.ts';
import { MODE_NAMES } from '../../ts/restore/modes/modes.ts';
import { untilState } from '../support/fated-guest.ts';
import { loadFrom } from '../support/plain-migration.ts';
import { type GuestSetup, MIB, startGuest, type TestGuest } from '../support/qemu.ts';
import { QEMU_BINARY } from '../support/qemu-required.ts';
import { restoreGuest } from '../support/restored-guest.ts';
import { binaryOf } from '../versions/qemus.ts';
import { differingPages } from './differing-pages.ts';

export const PAGE = 4096;

const NEWEST = binaryOf('11.1');
/** The QEMU of the tests, and the newest one, if it is there. */
export const BINARIES: readonly string[] = [QEMU_BINARY, ...(existsSync(NEWEST) ? [NEWEST] : [])];

/** A guest whose memory above 48 MiB is nobody's, so that a test can have its way with it. */
export const SETUP: GuestSetup = { memoryMiB: 128, region: { start: 16 * MIB, length: 8 * MIB } };
/** The free memory of that guest. */
export const FREE: { readonly start: number; readonly length: number } = {
  start: 48 * MIB,
  length: 36 * MIB,
};

/** Writes into a block of a guest's memory, as the guest itself could: a private mapping gets pages of its own. */
export async function poke(
  guest: TestGuest,
  pieces: Iterable<{ readonly offset: number; readonly bytes: Uint8Array }>,
  id: string = guest.memoryBlocks[0] ?? '',
): Promise<void> {
  const block = (await guest.ramBlocks()).find((row) => row.id === id);
  assert(block?.hva !== undefined, `no block ${id}`);
  const fd = openSync(`/proc/${guest.qemu.pid}/mem`, 'r+');
  try {
    for (const { offset, bytes } of pieces) {
      assert.equal(writeSync(fd, bytes, 0, bytes.length, block.hva + offset), bytes.length);
    }
  } finally {
    closeSync(fd);
  }
}

/** Pages at equal distances, each filled with bytes of its own. */
export function* scattered(
  start: number,
  length: number,
  every: number,
  seed: number,
): Generator<{ readonly offset: number; readonly bytes: Uint8Array }, void, void> {
  for (let offset = start; offset < start + length; offset += every * PAGE) {
    yield { offset, bytes: Buffer.alloc(PAGE, `${seed} at ${offset};`) };
  }
}

/** Zeros in the place of pages. */
export function zeros(
  start: number,
  length: number,
): { readonly offset: number; readonly bytes: Uint8Array } {
  return { offset: start, bytes: new Uint8Array(length) };
}

/**
 * Asserts that a snapshot has the memory of the guest that stands still since its save, byte by byte.
 * @param from the snapshot that pages come from which QEMU does not have yet
 */
export async function assertMemory(
  t: ExecutionContext,
  guest: TestGuest,
  path: string,
  what: string,
  from?: string,
): Promise<void> {
  const found = await differingPages(guest, path, from);
  t.deepEqual(found.slice(0, 5), [], `${what}: ${found.length} pages differ`);
}

export interface RestoreCheck {
  /** @default all */
  readonly modes?: readonly RestoreMode[];
  /** True to load the snapshot by QEMU alone, too. @default false */
  readonly alone?: boolean;
}

/** Restores a snapshot, compares the memory of each guest with it, and lets each guest prove its memory. */
export async function assertRestores(
  t: ExecutionContext,
  path: string,
  setup: GuestSetup,
  { modes = MODE_NAMES, alone = false }: RestoreCheck = {},
): Promise<void> {
  const { verified, findings } = await verify(path);
  t.true(verified, JSON.stringify(findings));
  for (const mode of modes) {
    await using guest = await restoreGuest(path, setup, { mode, after: 'stop' });
    await assertMemory(t, guest, path, mode);
    const before = await guest.checkMemory();
    t.true((await guest.assertAlive()).generation > before.generation, mode);
  }
  if (!alone) return;
  await using guest = await startGuest({
    ...setup,
    incoming: true,
    extraArgs: [...(setup.extraArgs ?? []), '-S'],
  });
  await loadFrom(guest.qmp, `file:${path}`);
  await untilState(guest.qmp, 'paused');
  await assertMemory(t, guest, path, 'QEMU alone');
  const before = await guest.checkMemory();
  t.true((await guest.assertAlive()).generation > before.generation, 'QEMU alone');
}

/** The digest of a file's bytes. */
export async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
