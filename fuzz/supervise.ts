import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface SuperviseOptions {
  readonly name: string;
  readonly minutes: number;
  /** After about as many it ends, too. Default: no limit. */
  readonly executions?: number;
  readonly seed: number;
  /** Whether the corpus in the tree becomes what was kept. Default false. */
  readonly grow?: boolean;
  /** Folder of the targets, a URL. Default `fuzz/targets/`. */
  readonly targets?: string;
  /** Without a sign of life for this long, in milliseconds, a run hangs. Default 60 000; a live one reports every 5 s. */
  readonly patience?: number;
  readonly onReport: (report: RunReport) => void;
}

/** How far a run is. */
export interface RunReport {
  readonly name: string;
  readonly seed: number;
  readonly seconds: number;
  readonly executions: number;
  readonly perSecond: number;
  /** Inputs that each did something new. */
  readonly kept: number;
  /** Characters of code in blocks that ran. */
  readonly covered: number;
}

/** What a run said when it ended. */
export interface Supervised {
  /** 0 nothing found, 3 something found; anything else, or null, a crash or a hang. */
  readonly status: number | null;
  /** The input that was tried last, encoded; empty when none was. */
  readonly last: Uint8Array;
}

/** Runs one target in a process of its own, so that a hang and a crash can be told from the outside. */
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
    const status = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    clearTimeout(timer);
    return { status, last: await readFile(current) };
  } finally {
    await rm(directory, { recursive: true });
  }
}
