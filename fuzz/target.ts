import { readdir } from 'node:fs/promises';

import type { ErrorCode } from '../ts/errors.ts';
import type { Limits, WatchedReader } from './watched-reader.ts';

/**
 * One reader of untrusted bytes. A file in `fuzz/targets/` exports one as `target` and is named like it; that is all
 * there is to adding one.
 */
export interface FuzzTarget {
  /**
   * Reads one input. May end well or throw a MappedRamError with one of `codes`; everything else is a finding, so what
   * must hold of a result is asserted here.
   * @returns what was reached, in few words and rough numbers: an input with a new word in some place is kept
   */
  readonly run: (reader: WatchedReader) => Promise<string>;
  /** Error codes that bad input may give. Default `INPUT_CODES`. */
  readonly codes?: readonly ErrorCode[];
  readonly limits?: Partial<Limits & TimeAndMemory>;
  /** What mutations may put in besides `DICTIONARY`. */
  readonly dictionary?: readonly (string | Uint8Array)[];
}

export interface TimeAndMemory {
  /** Of processor time. */
  readonly milliseconds: number;
  /** Growth of the heap in one execution, as far as it can be seen, and size of the largest buffer. */
  readonly bytesOfMemory: number;
}

/** What is wrong with a file, as opposed to with its reader or its use. */
export const INPUT_CODES: readonly ErrorCode[] = [
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_CORRUPT',
  'ERR_MAPPED_RAM_INCOMPLETE',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
];

const MIB = 2 ** 20;

/** Inputs are small: what goes beyond these was asked for by a number in one. */
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
 * @param name one of `targetNames`, or of a file in `folder`
 * @param folder a URL. Default `fuzz/targets/`
 */
export async function loadTarget(name: string, folder: string = FOLDER.href): Promise<FuzzTarget> {
  const module: { readonly target: FuzzTarget } = await import(new URL(`${name}.ts`, folder).href);
  return module.target;
}

/** 0, 1, 2, 4, 8, …: a number rough enough to tell what is new from what is more of the same. */
export function roughly(count: number): number {
  return count < 1 ? 0 : 2 ** Math.floor(Math.log2(count));
}
