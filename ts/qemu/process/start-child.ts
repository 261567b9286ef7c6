import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';

import { MappedRamError } from '../../errors.ts';

/**
 * Starts a process. Node's permission model refuses at once; every other failure comes as an event.
 * @param environment goes over that of this process
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO
 */
export function startChild(
  binary: string,
  args: readonly string[],
  stdio: StdioOptions,
  environment: NodeJS.ProcessEnv = {},
): ChildProcess {
  try {
    return spawn(binary, args, { stdio, env: { ...process.env, ...environment } });
  } catch (cause) {
    throw cannotRun(binary, cause);
  }
}

/** The error for a binary that does not run. */
export function cannotRun(path: string, cause: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot run QEMU', { path, cause });
}
