/** One thing to measure. It returns its own time in milliseconds, so that its preparation does not count. */
export interface Contender {
  readonly name: string;
  readonly run: () => Promise<number>;
}

export interface Measurement {
  readonly name: string;
  readonly milliseconds: readonly number[];
  readonly median: number;
}

/**
 * Runs the contenders in turn, `rounds` times, so that other work on the machine meets all of them alike. The order is
 * reversed after every round.
 */
export async function alternate(
  contenders: readonly Contender[],
  rounds: number,
): Promise<readonly Measurement[]> {
  const times = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const { name, run } of order) {
      const time = await run();
      times.get(name)?.push(time);
      process.stderr.write(`round ${round + 1}, ${name}: ${time.toFixed(0)} ms\n`);
    }
  }
  return contenders.map(({ name }) => {
    const milliseconds = times.get(name) ?? [];
    return { name, milliseconds, median: medianOf(milliseconds) };
  });
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** Prints rates and ratios of medians, for `bytes` each. */
export function printTable(measurements: readonly Measurement[], bytes: number): void {
  const best = Math.min(...measurements.map(({ median }) => median));
  console.log(
    `${'what'.padEnd(44)}${'median ms'.padStart(10)}${'MiB/s'.padStart(8)}${'× fastest'.padStart(11)}`,
  );
  for (const { name, median } of measurements) {
    const rate = (bytes / 2 ** 20 / median) * 1000;
    console.log(
      `${name.padEnd(44)}${median.toFixed(0).padStart(10)}${rate.toFixed(0).padStart(8)}${(best / median).toFixed(2).padStart(11)}`,
    );
  }
}
