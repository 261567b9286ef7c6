import { loadavg } from 'node:os';

/** A claim, with the figures that decide it. */
export interface Verdict {
  readonly claim: string;
  readonly figures: string;
  readonly holds: boolean;
}

/** Prints the verdicts with the machine's load. A claim that does not hold makes the process exit with status 1. */
export function printVerdicts(verdicts: readonly Verdict[]): void {
  for (const { claim, figures, holds } of verdicts) {
    console.log(`${holds ? 'holds' : 'FAILS'}  ${claim}: ${figures}`);
    if (!holds) process.exitCode = 1;
  }
  const [lastMinute = 0] = loadavg();
  console.log(`load average of the last minute: ${lastMinute.toFixed(1)}`);
}
