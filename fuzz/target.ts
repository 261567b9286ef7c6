import { readdir } from 'node:fs/promises';

import type { ErrorCode } from '../ts/errors.ts';
import type { Limits, WatchedReader } from './watched-reader.ts';

/**
 * One reader of untrusted bytes. A new target is a file in `fuzz/targets/` that exports it as `target` and has its
 * name; nothing else is needed.
 */
export interface FuzzTarget {
  /**
   * Reads one input. May end well or throw a MappedRamError with one of `codes`; everything else is a finding. So this
   * function asserts whatever must hold of a result.
   * @returns the point that was reached, in few words and rough numbers: an input with a new word in some place is kept
   */
  readonly run: (reader: WatchedReader) => Promise<string>;
  /** Error codes that bad input may give. Default `INPUT_CODES`. */
  readonly codes?: readonly ErrorCode[];
  readonly limits?: Partial<Limits & TimeAndMemory>;
  /** Words that mutations may put in besides `DICTIONARY`. */
  readonly dictionary?: readonly (string | Uint8Array)[];
}

export interface TimeAndMemory {
  /** Milliseconds of processor time. */
  readonly milliseconds: number;
  /**
   * Bytes that the heap may grow by in one execution, as far as that can be seen, and that the largest buffer may have.
   */
  readonly bytesOfMemory: number;
}

/** Codes for a defect of a file, as opposed to one of its reader or its use. */
export const INPUT_CODES: readonly ErrorCode[] = [
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_CORRUPT',
  'ERR_MAPPED_RAM_INCOMPLETE',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
];

const MIB = 2 ** 20;

/** Limits for small inputs: only a number in an input can ask for more. */
export const DEFAULT_LIMITS: Limits & TimeAndMemory = {
  bytesAtOnce: MIB,
  bytesInAll: 256 * MIB,
  reads: 65_536,
  milliseconds: 1000,
  bytesOfMemory: 32 * MIB,
};

const FOLDER = new URL('targets/', import.meta.url);

/** Names of all targets, sorted. */
export async function targetNames(): Promise<readonly string[]> {
  const files = await readdir(FOLDER);
  return files.map((file) => file.replace(/\.ts$/, '')).toSorted();
}

/**
 * Loads a target.
 * @param name one of `targetNames`, or of a file in `folder`
 * @param folder a URL. Default `fuzz/targets/`
 */
export async function loadTarget(name: string, folder: string = FOLDER.href): Promise<FuzzTarget> {
  const module: { readonly target: FuzzTarget } = await import(new URL(`${name}.ts`, folder).href);
  return module.target;
}

/** Rounds down to 0, 1, 2, 4, 8, …: such a number is rough enough to tell new things from more of the same. */
export function roughly(count: number): number {
  return count < 1 ? 0 : 2 ** Math.floor(Math.log2(count));
}
