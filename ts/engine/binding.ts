import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';

import { ERROR_CODES, MappedRamError, type ErrorCode } from '../errors.ts';
import { loadingProblem } from './loading-problem.ts';

import type * as Binding from '../../native/binding.cjs';

export type { BindingError } from '../../native/binding.cjs';

/** The Rust core's functions and classes. */
export type BindingModule = typeof Binding;

let loaded: BindingModule | undefined;

/**
 * The Rust core. The first call loads it, so that importing the package needs no binding. This file is its only
 * importer.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when there is no binding for this platform, or native code cannot be
 *   loaded here, with the reason; the next call tries again
 */
export function binding(): BindingModule {
  loaded ??= loadBinding();
  return loaded;
}

/** Turns an error of the core into this package's error, with the OS error in Node's shape as its cause. */
export function toMappedRamError(error: Binding.BindingError): MappedRamError {
  const { errno, message, path, offset } = error;
  return new MappedRamError(errorCode(error.kind), message, { path, offset, cause: osError(errno, error) });
}

function errorCode(kind: string): ErrorCode {
  return ERROR_CODES.find((code) => code === `ERR_MAPPED_RAM_${kind}`) ?? 'ERR_MAPPED_RAM_INTERNAL';
}

function osError(errno: number | undefined, error: Binding.BindingError): Error | undefined {
  if (error.cause === undefined) return undefined;
  const cause = new Error(error.cause);
  if (errno === undefined) return cause;
  // Node counts system errors downwards.
  return Object.assign(cause, { errno: -errno, code: getSystemErrorName(-errno), path: error.path });
}

function loadBinding(): BindingModule {
  const require = createRequire(import.meta.url);
  try {
    const core: BindingModule = require('../../native/binding.cjs');
    return core;
  } catch (cause) {
    throw loadingProblem(cause);
  }
}
