import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface SuperviseOptions {
  readonly name: string;
  readonly minutes: number;
  /** The run also ends after about this many executions. Default: no limit. */
  readonly executions?: number;
  readonly seed: number;
  /** True to replace the corpus in the tree by the kept inputs. Default false. */
  readonly grow?: boolean;
  /** URL of the folder of the targets. Default `fuzz/targets/`. */
  readonly targets?: string;
  /** Milliseconds without a sign of life after which a run hangs. Default 60 000; a live run reports every 5 s. */
  readonly patience?: number;
  readonly onReport: (report: RunReport) => void;
}

/** The progress of a run. */
export interface RunReport {
  readonly name: string;
  readonly seed: number;
  readonly seconds: number;
  readonly executions: number;
  readonly perSecond: number;
  /** Number of inputs that each did something new. */
  readonly kept: number;
  /** Number of characters of code in blocks that ran. */
  readonly covered: number;
}

/** The result of a run. */
export interface Supervised {
  /** 0: nothing found. 3: something found. Any other number, or a signal: a crash. SIGKILL: also a hang. */
  readonly status: number | NodeJS.Signals;
  /** The input that was tried last, encoded; empty when none was. */
  readonly last: Uint8Array;
}

/** Runs one target in a process of its own, so that the parent notices a hang or a crash. */
export async function supervise(options: SuperviseOptions): Promise<Supervised> {
  const { name, minutes, executions, seed, grow = false, targets, patience = 60_000, onReport } = options;
  const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-fuzz-'));
  try {
    const current = join(directory, 'current');
    const args = [name, '--minutes', `${minutes}`, '--seed', `${seed}`, '--current', current];
    if (grow) args.push('--grow');
    if (executions !== undefined) args.push('--executions', `${executions}`);
    if (targets !== undefined) args.push('--targets', targets);
    const child = fork(fileURLToPath(new URL('run-target.ts', import.meta.url)), args, {
      execArgv: ['--import=@oxc-node/core/register'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), patience);
    child.on('message', (report: RunReport) => {
      timer.refresh();
      onReport(report);
    });
    const status = await new Promise<number | NodeJS.Signals>((resolve) =>
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'SIGKILL')),
    );
    clearTimeout(timer);
    return { status, last: await readFile(current) };
  } finally {
    await rm(directory, { recursive: true });
  }
}
