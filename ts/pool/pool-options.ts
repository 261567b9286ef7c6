import { availableParallelism } from 'node:os';

import { MappedRamError } from '../errors.ts';
import { availableMemory, totalMemory } from '../host/available-memory.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { byteCount } from '../io/byte-count.ts';
import { inWords } from '../io/in-words.ts';
import { assertWords } from '../io/option-words.ts';
import { SWITCHES } from '../negotiate/request.ts';
import type { QemuProcessOptions } from '../qemu/process/qemu-process.ts';
import type { Mode } from '../restore/modes/mode.ts';
import { DEFAULT_MODE, modeOf, MODES, type RestoreMode } from '../restore/modes/modes.ts';
import { assertWorkingSet } from '../restore/assert-options.ts';
import type { LoadOptions, PrepareOptions } from '../restore/options.ts';
import { AFTER_RESTORE } from '../restore/run-state.ts';

const MIB = 2 ** 20;
/** The most bytes that a pool leaves free when nobody sets a floor, and the part of the memory that it leaves. */
const [MOST_FREE, FREE_PART] = [1024 * MIB, 8];

/**
 * The state in which the QEMUs of a pool wait: with the guest loaded and paused (`loaded`), so that `take` only lets it
 * run; or with the snapshot mapped (`mapped`), so that `take` loads the devices first.
 */
export type PoolWait = (typeof POOL_WAITS)[number];
export const POOL_WAITS = ['loaded', 'mapped'] as const;

export interface PoolOptions
  extends
    Pick<QemuProcessOptions, 'binary' | 'stdio'>,
    Pick<LoadOptions, 'after' | 'fdset'>,
    Pick<PrepareOptions, 'workingSet'> {
  /**
   * Makes the command line of a guest, as for `restore`. No two QEMUs that live at the same time have the same number:
   * it is the lowest that is free, from 0 on, and is free again when its QEMU has ended, also one that was taken. The
   * function is asked for every QEMU that is started, and for the numbers 0 and 1 before the first. It may make the
   * guest's own disk.
   */
  readonly args: (index: number) => readonly string[] | Promise<readonly string[]>;
  /** How many QEMUs wait, 1 or more. */
  readonly size: number;
  /** How many QEMUs start at once, 1 or more. @default half of the processors, 1 at least */
  readonly refill?: number | undefined;
  /** The state in which QEMUs wait. @default 'loaded' */
  readonly wait?: PoolWait | undefined;
  /** The mode, which has to be one that maps the snapshot. @default 'instant' */
  readonly mode?: RestoreMode | undefined;
  /**
   * Bytes of memory that a refill leaves free: no QEMU is started while the host, or a control group of this process,
   * has less available. 0 is no floor. @default an eighth of the memory, and 1 GiB at most
   */
  readonly minFreeMemory?: number | undefined;
  /** Limit in milliseconds for each step of a QEMU's start. @default 60000 */
  readonly timeoutMs?: number | undefined;
  /** Ends the making of the pool; afterwards it has no meaning. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Options of a take. `timeoutMs` counts the whole of it, waiting for a QEMU included. @default no limit, because a pool
 * that cannot start QEMUs says so
 */
export type TakeOptions = WaitOptions;

/** Options with their defaults. */
export interface CheckedPoolOptions extends PoolOptions {
  readonly refill: number;
  readonly wait: PoolWait;
  readonly minFreeMemory: number;
}

/**
 * Checks the options of a pool, and fills in the defaults.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function checkPoolOptions(options: PoolOptions): CheckedPoolOptions {
  assertOptions(options);
  assertMakesArgs(options.args);
  assertWorkingSet(options.workingSet);
  assertWords<PoolOptions>(options, { after: AFTER_RESTORE, fdset: SWITCHES, wait: POOL_WAITS });
  const { minFreeMemory = defaultFloor(), wait = 'loaded' } = options;
  const size = count('size', options.size);
  const refill = count('refill', options.refill ?? Math.max(1, Math.floor(availableParallelism() / 2)));
  assertLimit(options.timeoutMs);
  return { ...options, size, refill, wait, minFreeMemory: byteCount('minFreeMemory', minFreeMemory) };
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for an `args` that makes no command lines */
export function assertMakesArgs(args: unknown): void {
  if (typeof args === 'function') return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'args', {
    expected: 'a function that makes the command line of guest i',
    found: inWords(args),
  });
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT */
export function checkTakeOptions(options: TakeOptions): void {
  assertOptions(options);
  assertLimit(options.timeoutMs);
}

/**
 * Returns the mode of a pool's guests.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a mode whose guests have no snapshot to share
 */
export function poolMode(name: RestoreMode = DEFAULT_MODE): Mode<RestoreMode> {
  const mode = modeOf(name);
  if (canWait(mode)) return mode;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the guests of a pool share a snapshot that they map, and mode ${mode.name} maps none`,
    { expected: MODES.filter(canWait).map(nameOfMode).join(', '), found: mode.name },
  );
}

/** Asks `args` for a command line. @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for anything else */
export async function argsOf({ args }: Pick<PoolOptions, 'args'>, index: number): Promise<readonly string[]> {
  const made = await args(index);
  assertTexts(`args(${index})`, made);
  return made;
}

/** A QEMU that waits must have the memory without holding a copy of it. */
function canWait({ keepsSnapshot, startsWithMemory }: Mode): boolean {
  return keepsSnapshot && startsWithMemory;
}

function nameOfMode({ name }: Mode): string {
  return name;
}

function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, {
    expected: 'a whole number, 1 or more',
    found: inWords(value),
  });
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what is no limit of time */
export function assertLimit(timeoutMs: unknown): void {
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs >= 0)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'timeoutMs', {
    expected: 'milliseconds, 0 or more',
    found: inWords(timeoutMs),
  });
}

function defaultFloor(): number {
  const whole = totalMemory();
  // Where nothing tells how much there is, nothing tells how much is left, either.
  if (whole === undefined || availableMemory() === undefined) return 0;
  return Math.min(MOST_FREE, Math.floor(whole / FREE_PART));
}
