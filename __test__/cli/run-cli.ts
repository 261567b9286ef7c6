import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const BIN: string = fileURLToPath(new URL('../../bin/mapped-ram.mjs', import.meta.url));
const DIST = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface CliRun {
  /** Null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The object on stdout. */
  readonly json: () => Record<string, unknown>;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The words of a program that becomes the command line: `nsenter` and its options, for example. @default none */
  readonly within?: readonly string[];
  /** @default 'ignore' */
  readonly stdin?: 'ignore' | 'pipe';
  /** A callback for the time in which the process runs: to send it signals, for example. */
  readonly meanwhile?: (child: ChildProcess) => Promise<void>;
}

const MAX_RUNNING = 2;
let running = 0;
const waiting: (() => void)[] = [];

/** Runs the built command line as a user does, two processes at a time: ava starts all tests of a file at once. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  if (running < MAX_RUNNING) running += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await run(args, options);
  } finally {
    // The place goes to the next in the queue, or becomes free.
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}

async function run(args: readonly string[], options: CliOptions): Promise<CliRun> {
  const child = spawnCli(args, options);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Pick<CliRun, 'code' | 'signal'>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  try {
    await options.meanwhile?.(child);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const { code, signal } = await ended;
  return { code, signal, stdout, stderr, json: () => parse(stdout) };
}

/** Starts the built command line, with pipes. */
export function spawnCli(
  args: readonly string[],
  { env, cwd, within = [], stdin = 'ignore' }: CliOptions = {},
): ChildProcess {
  if (!existsSync(DIST)) throw new Error('dist/ is missing: run `npm run build` before these tests');
  // The colour settings of the developer's shell must not decide about tests.
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  const [program, ...words] = [...within, process.execPath, BIN, ...args];
  return spawn(program ?? process.execPath, words, {
    cwd,
    env: { ...inherited, ...env },
    stdio: [stdin, 'pipe', 'pipe'],
  });
}

function parse(text: string): Record<string, unknown> {
  const value: Record<string, unknown> = JSON.parse(text);
  return value;
}
