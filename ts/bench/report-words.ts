import type { BenchReport, BenchResult, SkippedBench } from './report.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Tells a size of whole MiB exactly: `256 MiB`, `2 GiB`. */
export function sizeInWords(bytes: number): string {
  return bytes % GIB === 0 ? `${bytes / GIB} GiB` : `${bytes / MIB} MiB`;
}

/** Tells sizes in their order: `256 MiB, 2 GiB`. */
export function sizesInWords(sizes: readonly number[]): string {
  return sizes.map((size) => sizeInWords(size)).join(', ');
}

/** The title of a result; its size is told where the report has several. */
export function resultTitle(
  { size, work, memory, file }: BenchResult,
  { sizes }: BenchReport['settings'],
): string {
  const parts = [work, `${memory} memory`];
  // A save writes a new file.
  if (work !== 'save') parts.push(`${file} file`);
  if (sizes.length > 1) parts.push(sizeInWords(size));
  return parts.join(', ');
}

/** Tells what could not be measured, and why: once for all sizes that the same is true of. */
export function skippedInWords({ skipped, settings: { sizes } }: BenchReport): readonly string[] {
  const bySize = new Map<string, number[]>();
  for (const one of skipped) bySize.set(whatWhy(one), [...(bySize.get(whatWhy(one)) ?? []), one.size]);
  return [...bySize].map(([words, of]) =>
    of.length === sizes.length ? words : `${words} (${sizesInWords(of)})`,
  );
}

function whatWhy({ work, name, reason }: SkippedBench): string {
  return `${work}, ${name}: ${reason}`;
}
