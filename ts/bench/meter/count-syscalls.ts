import { messageOf } from '../../errors.ts';
import { CounterProcess, SYSCALL_COUNTERS, type SyscallCounter } from './syscall-counter.ts';

/** The number of a process's system calls, or the reason why it is not known. */
export interface SyscallCount {
  /** Calls of the process and of all its threads; undefined when they could not be counted. */
  readonly calls: number | undefined;
  /** The program that has counted. */
  readonly by: SyscallCounter['program'] | undefined;
  /** The reason why `calls` is undefined. */
  readonly why: string | undefined;
}

/**
 * Counts the system calls of a process during some work: by perf where it is installed and permitted, else by strace.
 * Either slows the process, so a round that is counted is no round that is timed. The work is done in any case, once.
 *
 * @param pid a process that this one has started and not reaped yet
 * @throws whatever the work throws
 */
export async function countSyscalls(
  pid: number,
  work: () => Promise<void>,
  counters: readonly SyscallCounter[] = SYSCALL_COUNTERS,
): Promise<SyscallCount> {
  const reasons: string[] = [];
  for (const counter of counters) {
    const attached = await CounterProcess.attach(counter, pid).catch((error: unknown) => {
      reasons.push(messageOf(error));
    });
    if (attached === undefined) continue;
    await using child = attached;
    await work();
    const by = counter.program;
    const ended = await child.end().then(
      (calls) => ({ calls, why: `${by} tells no number` }),
      (error: unknown) => ({ calls: undefined, why: messageOf(error) }),
    );
    return ended.calls === undefined
      ? { calls: undefined, by: undefined, why: ended.why }
      : { calls: ended.calls, by, why: undefined };
  }
  await work();
  return { calls: undefined, by: undefined, why: reasons.join('; ') };
}
