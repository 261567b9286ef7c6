import { execFile } from 'node:child_process';

import type { TemporaryDirectory } from '../support/temporary.ts';
import type { Case } from './cases.ts';

export interface Outcome {
  readonly args: string;
  readonly exitCode: number;
  /** The command's JSON, with placeholders for what differs from run to run. */
  readonly json: unknown;
}

/**
 * Runs commands, one after the other, in a directory.
 * @param program the JavaScript file of the command line
 * @param spell turns an argument into the program's own name for it
 */
export async function runCases(
  program: string,
  cases: readonly Case[],
  dir: TemporaryDirectory,
  spell: (arg: string) => string = (arg) => arg,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const { args, namesOnly = false } of cases) {
    const { exitCode, stdout } = await run([program, ...args.map((arg) => spell(arg)), '--json'], dir.path);
    const json: unknown = JSON.parse(stdout);
    outcomes.push({
      args: args.join(' '),
      exitCode,
      json: namesOnly ? names(json) : steady(json, '', dir.path),
    });
  }
  return outcomes;
}

function run(
  args: readonly string[],
  cwd: string,
): Promise<{ readonly exitCode: number; readonly stdout: string }> {
  // Commands find no QEMU, so that they print the same on machines that have one.
  const env = { ...process.env, MAPPED_RAM_QEMU: '/no-such-qemu' };
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout) => {
      if (child.exitCode === null) reject(error ?? new Error('no exit code'));
      else resolve({ exitCode: child.exitCode, stdout });
    });
  });
}

/** The value with placeholders for times, for what the filesystem allocates, and for the directory. */
function steady(value: unknown, name: string, directory: string): unknown {
  if (typeof value === 'number' && name.endsWith('Ms')) return '<ms>';
  if (typeof value === 'number' && name === 'allocated') return '<bytes>';
  if (typeof value === 'string') return value.replaceAll(directory, '<directory>');
  if (Array.isArray(value)) return value.map((element) => steady(element, '', directory));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, steady(member, key, directory)]),
  );
}

/**
 * The members' names alone; of an array, those of its first element. A finding of doctor's stays one value: it has a
 * reason on some machines and details on others. Huge pages stay one value too, since not every machine has them.
 */
export function names(value: unknown, name = ''): unknown {
  if (name === 'hugePages' || typeof value !== 'object' || value === null) return '<value>';
  if (Array.isArray(value)) return value.slice(0, 1).map((element) => names(element));
  if ('available' in value) return '<finding>';
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, names(member, key)]));
}
