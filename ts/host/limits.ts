import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const HUGEPAGES = '/sys/kernel/mm/hugepages';

/** The kernel's pool of huge pages of one size. */
export interface HugePages {
  readonly pageBytes: number;
  readonly total: number;
  readonly free: number;
}

/** How the kernel accounts for memory that processes ask for and have not touched (vm.overcommit_memory). */
export function overcommitPolicy(): 'heuristic' | 'always' | 'strict' | undefined {
  try {
    const policy = Number(readFileSync('/proc/sys/vm/overcommit_memory', 'latin1'));
    return (['heuristic', 'always', 'strict'] as const)[policy];
  } catch {
    return undefined;
  }
}

/** Bytes that a process without privileges may lock; undefined where the kernel does not tell. */
export async function memlockLimit(): Promise<number | 'unlimited' | undefined> {
  const limits = await read('/proc/self/limits');
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits ?? '')?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? soft : Number(soft);
}

/**
 * The longest file that a process may write, in bytes; Infinity where there is no limit, or the kernel does not tell.
 */
export async function fileSizeLimit(pid: number | 'self'): Promise<number> {
  const limits = await read(`/proc/${pid}/limits`);
  const soft = Number(/^Max file size\s+(\d+)/m.exec(limits ?? '')?.[1]);
  return Number.isNaN(soft) ? Number.POSITIVE_INFINITY : soft;
}

/**
 * The pools of huge pages, small pages first. The list is empty where there are none, and on other systems than Linux.
 */
export async function hugePages(): Promise<readonly HugePages[]> {
  const names = await readdir(HUGEPAGES).catch(() => []);
  const pools: HugePages[] = [];
  for (const name of names) {
    const kibibytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    const [total, free] = [await count(name, 'nr_hugepages'), await count(name, 'free_hugepages')];
    if (kibibytes > 0) pools.push({ pageBytes: kibibytes * 1024, total, free });
  }
  return pools.toSorted((left, right) => left.pageBytes - right.pageBytes);
}

async function count(pool: string, file: string): Promise<number> {
  return Number((await read(join(HUGEPAGES, pool, file))) ?? 0);
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
