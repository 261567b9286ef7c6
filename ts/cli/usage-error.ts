/** The command line is wrong. Says which part, and what was expected; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
