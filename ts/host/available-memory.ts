import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Memory that processes here can still take. */
export interface AvailableMemory {
  /** Bytes that can be taken without swapping, and without being killed for it. */
  readonly bytes: number;
  /** The one that allows no more, in words: the host, or a control group. */
  readonly limitedBy: string;
}

/** Bytes above which a limit of an old control group stands for none. */
const NO_LIMIT = 2 ** 60;

/** The names of the files of a control group, by the hierarchy's version. */
interface GroupFiles {
  readonly mount: string;
  readonly limits: readonly string[];
  readonly used: string;
  /** The member of `memory.stat` with the page cache that goes first when memory is short. */
  readonly reclaimable: RegExp;
}

const UNIFIED: GroupFiles = {
  mount: 'sys/fs/cgroup',
  // The kernel slows a group down above `high`, and kills in it above `max`.
  limits: ['memory.max', 'memory.high'],
  used: 'memory.current',
  reclaimable: /^inactive_file (\d+)$/m,
};
const LEGACY: GroupFiles = {
  mount: 'sys/fs/cgroup/memory',
  limits: ['memory.limit_in_bytes'],
  used: 'memory.usage_in_bytes',
  reclaimable: /^total_inactive_file (\d+)$/m,
};

/**
 * Tells how much memory is left: of the host (MemAvailable), or of the control group of this process, or one above it,
 * where that allows less.
 *
 * @param root the directory that has `proc` and `sys`, for tests
 * @returns undefined where nothing tells
 */
export function availableMemory(root = '/'): AvailableMemory | undefined {
  const host = ofHost(root);
  const all = [...(host === undefined ? [] : [host]), ...ofGroups(root)];
  return all.toSorted((left, right) => left.bytes - right.bytes)[0];
}

/** The memory of the host in bytes; undefined where it does not tell. */
export function totalMemory(root = '/'): number | undefined {
  return ofMeminfo(root, /^MemTotal:\s+(\d+) kB$/m);
}

function ofHost(root: string): AvailableMemory | undefined {
  const bytes = ofMeminfo(root, /^MemAvailable:\s+(\d+) kB$/m);
  return bytes === undefined ? undefined : { bytes, limitedBy: 'the host' };
}

function ofMeminfo(root: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(read(join(root, 'proc/meminfo')) ?? '')?.[1];
  return found === undefined ? undefined : Number(found) * 1024;
}

/** The groups of this process that have a limit, from its own group up. */
function ofGroups(root: string): readonly AvailableMemory[] {
  const groups = read(join(root, 'proc/self/cgroup')) ?? '';
  return groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    if (controllers === '') return alongPath(root, path, UNIFIED);
    return controllers.split(',').includes('memory') ? alongPath(root, path, LEGACY) : [];
  });
}

/**
 * A path that is not there belongs to another namespace, as in many containers. The container's own group then is at the
 * mount, where every path ends.
 */
function alongPath(root: string, path: string, files: GroupFiles): readonly AvailableMemory[] {
  const found: AvailableMemory[] = [];
  for (let group = path; ; group = dirname(group)) {
    const left = leftIn(join(root, files.mount, group), files);
    if (left !== undefined) found.push({ bytes: left, limitedBy: `the control group ${group}` });
    if (group === '/') return found;
  }
}

function leftIn(directory: string, { limits, used, reclaimable }: GroupFiles): number | undefined {
  const limit = Math.min(
    ...limits.map((name) => numberIn(join(directory, name)) ?? Number.POSITIVE_INFINITY),
  );
  const taken = numberIn(join(directory, used));
  if (limit >= NO_LIMIT || taken === undefined) return undefined;
  const cache = Number(reclaimable.exec(read(join(directory, 'memory.stat')) ?? '')?.[1] ?? 0);
  return Math.max(0, limit - taken + cache);
}

/** The number in a file; undefined for `max`, and where there is no such file. */
function numberIn(path: string): number | undefined {
  const text = read(path)?.trim() ?? '';
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
