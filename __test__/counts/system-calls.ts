import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

import { BIN } from '../cli/run-cli.ts';
import type { Counts } from './limits.ts';

/**
 * The calls that move bytes, and those that prepare or publish a file. The others are Node's own: its futexes, events
 * and memory depend on the moment, and what it opens and reads at its start depends on its version. `io_uring_setup` and
 * `mincore` are not here because older kernels need more of them. strace takes no offence at a name with a question mark
 * that it does not know.
 */
const CALLS =
  'writev pread64 pwrite64 preadv preadv2 pwritev pwritev2 copy_file_range sendfile splice io_uring_enter io_uring_register io_setup io_submit io_getevents io_destroy lseek fallocate ftruncate fadvise64 readahead sync_file_range fsync fdatasync msync ?cachestat'.split(
    ' ',
  );

/** The reason why system calls cannot be counted here; undefined when they can. */
export function straceMissing(): string | undefined {
  const { error, status, stderr } = spawnSync('strace', ['-f', '-c', 'true'], { encoding: 'utf8' });
  if (error !== undefined) return `cannot run strace: ${error.message}`;
  return status === 0 ? undefined : `strace cannot trace here: ${stderr.trim()}`;
}

/** Counts the system calls of a command line's process and its threads, by name. @param log a file for strace */
export function countSystemCalls(
  args: readonly string[],
  log: string,
): { readonly calls: Counts; readonly stdout: string } {
  const trace = ['-f', '-c', '-U', 'name,calls', '-o', log, '-e', `trace=${CALLS.join(',')}`];
  const command = [...trace, process.execPath, BIN, ...args];
  const { status, stdout, stderr } = spawnSync('strace', command, { encoding: 'utf8' });
  // `diff` exits with 3 when there are differences.
  if (status !== 0 && status !== 3) throw new Error(`strace ${command.join(' ')} failed: ${stdout}${stderr}`);
  const text = readFileSync(log, 'utf8');
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/));
  const calls = rows.flatMap(([name = '', count = '']) =>
    name !== 'total' && /^\d+$/.test(count) ? [[name, Number(count)] as const] : [],
  );
  if (calls.length === 0) throw new Error(`strace counted nothing: ${text}`);
  return { calls: Object.fromEntries(calls), stdout };
}

/** The counts beyond those of another run. */
export function beyond(counts: Counts, base: Counts): Counts {
  return Object.fromEntries(
    Object.entries(counts)
      .map(([name, count]) => [name, count - (base[name] ?? 0)] as const)
      .filter(([, count]) => count > 0)
      // strace has them by the time that they took.
      .toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
}
