import { readdirSync, readFileSync } from 'node:fs';

/** Matches the parent in /proc/PID/stat, behind the command's name, which may hold anything. */
const PARENT = /^\d+ \(.*\) \S (?<parent>\d+) /s;
/** Matches the time of the start there: 22nd of all fields, the 20th behind the name. */
const START = /^\d+ \(.*\) \S (?:-?\d+ ){18}(?<start>\d+) /s;

/**
 * Lists the processes below a process: its children, theirs, and so on. A wrapper around QEMU (`timeout`, `unshare`, a
 * script) may be the parent of QEMU. The list is empty where there is no /proc.
 */
export function descendantsOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const candidate of processes()) {
    const parent = parentOf(candidate);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), candidate]);
  }
  const found: number[] = [];
  const left = [...(children.get(pid) ?? [])];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (found.includes(next)) continue;
    found.push(next);
    left.push(...(children.get(next) ?? []));
  }
  return found;
}

/** Lists the processes that this one sees, by id. The list is empty where there is no /proc. */
export function processes(): readonly number[] {
  try {
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
  } catch {
    return [];
  }
}

/** The name of a process's program, as the kernel keeps it: at most 15 characters. Undefined when it is gone. */
export function programOf(pid: number): string | undefined {
  return read(`/proc/${pid}/comm`)?.trimEnd();
}

/**
 * Kills a process and everything below it. A process that is stopped cannot fork, so that none escapes.
 * @param pid a process that this one has not reaped yet: any other id may belong to a stranger by now
 */
export function killTree(pid: number): void {
  const stopped = new Set<number>();
  for (;;) {
    const fresh = [pid, ...descendantsOf(pid)].filter((candidate) => !stopped.has(candidate));
    if (fresh.length === 0) break;
    for (const candidate of fresh) {
      signal(candidate, 'SIGSTOP');
      stopped.add(candidate);
    }
  }
  for (const candidate of stopped) signal(candidate, 'SIGKILL');
}

/**
 * The time of a process's start, in the kernel's words, by which it differs from others that had its id before. Undefined
 * when it is gone.
 */
export function startTimeOf(pid: number): string | undefined {
  return START.exec(read(`/proc/${pid}/stat`) ?? '')?.groups?.['start'];
}

function parentOf(pid: number): number | undefined {
  const parent = PARENT.exec(read(`/proc/${pid}/stat`) ?? '')?.groups?.['parent'];
  return parent === undefined ? undefined : Number(parent);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended, or belongs to another user.
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
