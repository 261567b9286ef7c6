import { MappedRamError } from '../errors.ts';
import { Interrupted } from './interrupted.ts';

/** A wrong command line. The message names the wrong part, and the expected one. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The exit status of the command line; docs/cli.md lists it. Interrupted commands exit with 128 + signal. */
export const EXIT: {
  readonly done: 0;
  readonly failed: 1;
  readonly usage: 2;
  readonly differences: 3;
  readonly corrupt: 4;
} = {
  done: 0,
  failed: 1,
  usage: 2,
  differences: 3,
  corrupt: 4,
};

const CORRUPT = new Set([
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_CORRUPT',
  'ERR_MAPPED_RAM_INCOMPLETE',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
]);

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof UsageError) return EXIT.usage;
  if (!(error instanceof MappedRamError)) return EXIT.failed;
  if (error.code === 'ERR_MAPPED_RAM_INVALID_URI') return EXIT.usage;
  return CORRUPT.has(error.code) ? EXIT.corrupt : EXIT.failed;
}
