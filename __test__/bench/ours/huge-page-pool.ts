import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { lockFile } from '../../../ts/engine/file-lock.ts';
import { MappedRamError } from '../../../ts/errors.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const POOL = '/proc/sys/vm/nr_hugepages';
const LOOK_MS = 50;

/**
 * Mounts hugetlbfs with so many free pages of 2 MiB for a test, and puts the kernel's pool back to what it was. A lock
 * keeps two runs, and the engine's own tests of huge pages, from restoring each other's numbers.
 */
export async function withHugePages(
  t: ExecutionContext,
  pages: number,
  body: (mount: string) => Promise<void>,
): Promise<void> {
  if (process.geteuid?.() !== 0) return t.log('NOT TRIED: it takes root');
  const turn = openSync(tmpdir(), 'r');
  try {
    await untilLocked(turn);
    await inTurn(t, pages, body);
  } finally {
    closeSync(turn);
  }
}

async function untilLocked(fd: number): Promise<void> {
  for (;;) {
    try {
      lockFile(fd, 'exclusive', tmpdir());
      return;
    } catch (error) {
      if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_BUSY') throw error;
    }
    await delay(LOOK_MS);
  }
}

async function inTurn(
  t: ExecutionContext,
  pages: number,
  body: (mount: string) => Promise<void>,
): Promise<void> {
  const before = poolSize();
  const putBack = (): void => writeFileSync(POOL, String(before));
  process.once('exit', putBack);
  await using dir = await temporaryDirectory();
  try {
    writeFileSync(POOL, String(before + pages));
    if (poolSize() < before + pages) return t.log('NOT TRIED: the kernel finds no memory for huge pages');
    const size = `size=${pages * 2}M,pagesize=2M`;
    execFileSync('mount', ['-t', 'hugetlbfs', '-o', size, 'mapped-ram-test', dir.path]);
    try {
      await body(dir.path);
    } finally {
      execFileSync('umount', ['-l', dir.path]);
    }
  } finally {
    putBack();
    process.off('exit', putBack);
  }
}

function poolSize(): number {
  return Number(readFileSync(POOL, 'latin1'));
}
