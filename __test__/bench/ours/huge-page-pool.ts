import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import type { ExecutionContext } from 'ava';

import { lockFile } from '../../../ts/engine/file-lock.ts';
import { MappedRamError } from '../../../ts/errors.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const POOL = '/proc/sys/vm/nr_hugepages';
const LOOK_MS = 50;

/** A hugetlbfs that only programs see which run within. */
export interface HugePageMount {
  readonly path: string;
  /** The words of a program that makes another one see the mount, and becomes it. */
  readonly within: readonly string[];
  /** The names of what lies there, at any depth. */
  readonly entries: () => readonly string[];
}

/**
 * Mounts hugetlbfs with so many free pages of 2 MiB for a test, and puts the kernel's pool back to what it was. Other
 * tests run benches meanwhile, which would take part of the pages: they do not see the mount. A lock keeps two runs, and
 * the engine's own tests of huge pages, from restoring each other's numbers.
 */
export async function withHugePages(
  t: ExecutionContext,
  pages: number,
  body: (mount: HugePageMount) => Promise<void>,
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
  body: (mount: HugePageMount) => Promise<void>,
): Promise<void> {
  const before = poolSize();
  const putBack = (): void => writeFileSync(POOL, String(before));
  process.once('exit', putBack);
  await using dir = await temporaryDirectory();
  try {
    writeFileSync(POOL, String(before + pages));
    if (poolSize() < before + pages) return t.log('NOT TRIED: the kernel finds no memory for huge pages');
    await whileMounted(t, pages, dir.path, body);
  } finally {
    putBack();
    process.off('exit', putBack);
  }
}

/** Lets a process hold a mount namespace with the mount, which is gone with it. */
async function whileMounted(
  t: ExecutionContext,
  pages: number,
  path: string,
  body: (mount: HugePageMount) => Promise<void>,
): Promise<void> {
  const script = `mount -t hugetlbfs -o size=${pages * 2}M,pagesize=2M mapped-ram-test "$1" && echo mounted && read end`;
  const holder = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'exit');
  try {
    if (!(await isMounted(holder))) return t.log('NOT TRIED: nothing can be mounted here');
    const seen = `/proc/${holder.pid}/root${path}`;
    await body({
      path,
      within: ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`],
      entries: () => readdirSync(seen, { recursive: true }).map(String),
    });
  } finally {
    holder.stdin?.end();
    await ended;
  }
}

async function isMounted(holder: ChildProcess): Promise<boolean> {
  for await (const word of holder.stdout ?? []) return String(word) === 'mounted\n';
  return false;
}

function poolSize(): number {
  return Number(readFileSync(POOL, 'latin1'));
}
