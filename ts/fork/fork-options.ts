import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { assertOptions } from '../io/assert-options.ts';
import { inWords } from '../io/in-words.ts';
import { assertWords } from '../io/option-words.ts';
import { SWITCHES, type Switch } from '../negotiate/request.ts';
import { assertLimit, assertMakesArgs } from '../pool/pool-options.ts';
import type { QemuProcessOptions } from '../qemu/process/qemu-process.ts';
import type { LoadOptions } from '../restore/options.ts';
import { AFTER_RESTORE } from '../restore/run-state.ts';

/** The most clones that one fork makes. */
export const MOST_CLONES = 256;

/**
 * The form in which clones get their memory. `delta`: the source is a clone itself; its clones map the same snapshot, and
 * each gets a copy of the pages that have changed. `whole`: clones share all of the memory in a file of their own.
 */
export type ForkForm = 'delta' | 'whole';

export interface ForkOptions
  extends Pick<QemuProcessOptions, 'binary' | 'stdio'>, Pick<LoadOptions, 'after' | 'fdset'> {
  /**
   * Makes the command line of clone `index`, 0 to n − 1, as for `restore`: that of the source, with disks, ports and
   * sockets of its own. The function is asked once for each clone, before the first QEMU is started. It may make the
   * clone's own disk.
   */
  readonly args: (index: number) => readonly string[] | Promise<readonly string[]>;
  /**
   * A small process beside this one that lets the source go on, should this one be killed in the middle of the fork.
   * @default 'auto': where the connection to QEMU is a socket
   */
  readonly guard?: Switch | undefined;
  /** Limit in milliseconds for each step of a QEMU, and for taking the memory out of the source. @default 60000 */
  readonly timeoutMs?: number | undefined;
  /** Ends the fork, or what `prepareFork` prepares: everything that was started is ended. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of the fork itself, when its QEMUs wait already. `timeoutMs` counts the whole of it. @default no limit */
export type ForkNowOptions = WaitOptions;

/** Options with their defaults. */
export interface CheckedForkOptions extends ForkOptions {
  readonly count: number;
  readonly timeoutMs: number;
}

/** Limit in milliseconds for each step. */
const STEP_MS = 60_000;

/**
 * Checks the options of a fork, and fills in the defaults.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for a number of clones that
 *   cannot be made
 */
export function checkForkOptions(count: number, options: ForkOptions): CheckedForkOptions {
  assertOptions(options);
  assertMakesArgs(options.args);
  assertWords<ForkOptions>(options, { after: AFTER_RESTORE, fdset: SWITCHES, guard: SWITCHES });
  assertLimit(options.timeoutMs);
  const { timeoutMs = STEP_MS } = options;
  return { ...options, count: assertCount(count), timeoutMs };
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT */
export function checkForkNowOptions(options: ForkNowOptions): void {
  assertOptions(options);
  assertLimit(options.timeoutMs);
}

function assertCount(count: number): number {
  if (Number.isSafeInteger(count) && count >= 1 && count <= MOST_CLONES) return count;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'number of clones', {
    expected: `a whole number, 1 to ${MOST_CLONES}`,
    found: inWords(count),
  });
}
