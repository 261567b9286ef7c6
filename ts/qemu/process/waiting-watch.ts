import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';

import { messageOf } from '../../errors.ts';
import { startTimeOf } from '../../host/process-tree.ts';

/** The variable in the environment of a child that the watch does not know yet. */
const MARK = 'MAPPED_RAM_WATCH';

/**
 * The program of the watch, for any POSIX shell, which starts in a millisecond and has every command in itself. Each line
 * of standard input adds a process, or takes one away. When the input ends, those that are left are ended, with all
 * below them: stopped first, so that none starts another meanwhile. A process is known by its id and the time of its
 * start, since an id may have got to a stranger; one that was about to be started, by a mark in its environment.
 *
 * The input ends when the last process has closed it, which a child of which nothing was told does while it becomes its
 * program; its environment may be seen a moment later. Environments are looked at last: that of a process that hangs may
 * keep whoever looks.
 */
const PROGRAM = `
trap '' INT TERM HUP
watched= mark=
while read -r sign pid start; do
  case $sign in
    '?') mark=$pid ;;
    +) watched="$watched $pid:$start" mark= ;;
    -) kept=
       for one in $watched; do [ "\${one%%:*}" = "$pid" ] || kept="$kept $one"; done
       watched=$kept ;;
  esac
done
look() {
  { read -r line <"$1"; } 2>/dev/null || return 1
  pid=\${line%% *}
  set -- \${line##*) }
  parent=$2 start=\${20}
}
has_mark() {
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *"${MARK}=$mark"*) return 0 ;; esac
  done <"/proc/$1/environ"
  return 1
} 2>/dev/null
end_doomed() {
  [ -n "$doomed" ] || return 0
  grows=yes
  while [ -n "$grows" ]; do
    grows=
    for stat in /proc/[0-9]*/stat; do
      look "$stat" || continue
      case "$doomed " in
        *" $pid "*) ;;
        *" $parent "*) kill -STOP "$pid" && doomed="$doomed $pid" grows=yes ;;
      esac
    done
  done
  kill -KILL $doomed
  doomed=
}
doomed=
for one in $watched; do
  look "/proc/\${one%%:*}/stat" && [ "$start" = "\${one##*:}" ] || continue
  kill -STOP "$pid" && doomed="$doomed $pid"
done
end_doomed
[ -n "$mark" ] && look "/proc/$$/stat" || exit 0
own=$start
for pass in 1 2 3; do
  for stat in /proc/[0-9]*/stat; do
    look "$stat" && [ "$start" -ge "$own" ] && has_mark "$pid" || continue
    kill -STOP "$pid" && doomed="$doomed $pid"
  done
  end_doomed
done
`;

/**
 * A small process beside this one. It ends QEMUs that wait for a guest, should this process end without a word: killed,
 * out of memory, a worker terminated. Nothing else could: QEMU knows no owner whom it might lose later on, when its guest
 * is somebody's.
 */
export class WaitingWatch implements AsyncDisposable {
  readonly #watched = new Map<number, string>();
  #child: ChildProcess | undefined;
  #problem: string | undefined;
  #isOver = false;

  /** Starts a watch. One that cannot be had says so in its warnings. */
  static start(): WaitingWatch {
    const watch = new WaitingWatch();
    watch.#start();
    return watch;
  }

  /** Says in words that nothing ends the QEMUs that wait; nothing otherwise. */
  get warnings(): readonly string[] {
    return this.#problem === undefined
      ? []
      : [
          `no process watches over the QEMUs that wait (${this.#problem}): if this process is killed, they stay`,
        ];
  }

  /**
   * Starts a child that ends with this process, from its first moment on until it is let go or ends by itself. A program
   * that passes no environment on (`sudo`) hides its own children for about a millisecond.
   *
   * @param start gets a variable that has to be in the child's environment
   */
  begin(start: (environment: NodeJS.ProcessEnv) => ChildProcess): ChildProcess {
    // A watch that was killed is started again, with all that it has to know.
    if (!this.#isAlive) this.#start();
    const mark = randomUUID();
    // This process may be killed when it has started the child, and before it can tell which one it is.
    void this.#say(`? ${mark}\n`);
    let found = '?\n';
    try {
      const child = start({ [MARK]: mark });
      const { pid } = child;
      const startTime = pid === undefined ? undefined : startTimeOf(pid);
      if (pid === undefined || startTime === undefined) return child;
      child.once('exit', () => void this.letGo(pid));
      this.#watched.set(pid, startTime);
      found = added(pid, startTime);
      return child;
    } finally {
      void this.#say(found);
    }
  }

  /** Leaves processes alone from now on, all at once: when this resolves, whatever becomes of this process. */
  async letGo(...pids: readonly number[]): Promise<void> {
    const known = pids.filter((pid) => this.#watched.delete(pid));
    if (known.length > 0 && this.#isAlive) await this.#say(known.map((pid) => `- ${pid}\n`).join(''));
  }

  /** Ends the watch, whose processes have ended or been let go. May be called again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    const child = this.#child;
    await this.letGo(...this.#watched.keys());
    this.#child = undefined;
    if (child === undefined || !isAlive(child)) return;
    const exited = once(child, 'exit');
    child.stdin?.end();
    await exited;
  }

  get #isAlive(): boolean {
    return this.#child !== undefined && isAlive(this.#child);
  }

  #start(): void {
    // Disposal is the owner's last word.
    if (this.#isOver) return;
    this.#problem = undefined;
    let child: ChildProcess;
    try {
      // In a process group of its own: Ctrl-C is for this process.
      const how: SpawnOptions = { detached: true, stdio: ['pipe', 'ignore', 'ignore'], env: {} };
      child = spawn('/bin/sh', ['-c', PROGRAM], how);
    } catch (error) {
      // Node's permission model refuses at once.
      this.#problem = messageOf(error);
      return;
    }
    child.once('error', (error) => {
      this.#problem = messageOf(error);
    });
    child.stdin?.on('error', () => undefined);
    this.#child = child;
    for (const [pid, start] of this.#watched) void this.#say(added(pid, start));
  }

  async #say(line: string): Promise<void> {
    const input = this.#child?.stdin;
    await new Promise<void>((resolve) => {
      // A write fails when the watch is gone, which the next call finds.
      if (input?.writable === true) input.write(line, () => resolve());
      else resolve();
    });
  }
}

function added(pid: number, startTime: string): string {
  return `+ ${pid} ${startTime}\n`;
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}
