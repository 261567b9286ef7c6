import { readFile, writeFile } from 'node:fs/promises';

import type { BenchReport } from '../report.ts';

/** Writes a report as a baseline for later runs. */
export async function saveBaseline(report: BenchReport, path: string): Promise<void> {
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);
}

/** Reads a report that `saveBaseline` wrote, or `bench --json` printed. */
export async function readBaseline(path: string): Promise<BenchReport> {
  return JSON.parse(await readFile(path, 'utf8')) as BenchReport;
}
