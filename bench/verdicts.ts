import { loadavg } from 'node:os';

/** Something that is to be so, with the figures that decide it. */
export interface Verdict {
  readonly claim: string;
  readonly figures: string;
  readonly holds: boolean;
}

/** Prints them with the machine's load; one that does not hold makes the process exit with status 1. */
export function printVerdicts(verdicts: readonly Verdict[]): void {
  for (const { claim, figures, holds } of verdicts) {
    console.log(`${holds ? 'holds' : 'FAILS'}  ${claim}: ${figures}`);
    if (!holds) process.exitCode = 1;
  }
  const [lastMinute = 0] = loadavg();
  console.log(`load average of the last minute: ${lastMinute.toFixed(1)}`);
}
