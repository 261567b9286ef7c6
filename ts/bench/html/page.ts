import type { BenchReport } from '../report.ts';

/** Makes a page that shows reports: one HTML file that needs no other. */
export async function benchPage(reports: BenchReport | readonly BenchReport[]): Promise<string> {
  return `<!doctype html><pre>${JSON.stringify(reports).replaceAll('<', '\\u003c')}</pre>\n`;
}
