import { writeFile } from 'node:fs/promises';

import { type BenchOptions, USUAL_ROUNDS } from '../../bench/bench-options.ts';
import type { BenchReport } from '../../bench/report.ts';
import { MappedRamError } from '../../errors.ts';
import { assertDirectory } from '../../host/filesystem.ts';
import { ioError } from '../../io/fd-io.ts';
import { defineCommand, type Command } from '../command.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { benchFiles } from '../options/bench-files.ts';
import { BENCH_OPTIONS, benchOptions, maxRegression } from '../options/bench-options.ts';
import { baselineLines } from '../render/baseline.ts';
import { BenchProgressLines } from '../render/bench-progress.ts';
import { benchLines } from '../render/bench.ts';
import type { Session } from '../session.ts';

export const bench: Command = defineCommand({
  name: 'bench',
  description:
    'Measure how fast snapshots are saved, loaded, verified, compared and restored on a disk, against fio, a plain copy and QEMU itself, in alternating rounds. Nothing is left behind.',
  args: BENCH_OPTIONS,
  examples: [
    'mapped-ram bench --dir /mnt/nvme',
    'mapped-ram bench --size 256MiB --work save,load --file-state cold,warm,dirty',
    'mapped-ram bench --html bench.html --save-baseline before.json',
    'mapped-ram bench --baseline before.json --max-regression 10%',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const [options, most] = [benchOptions(line), maxRegression(line)];
    await assertDirectory(options.directory ?? '.');
    const { page, after, before } = await benchFiles(line);
    const { readBaseline, saveBaseline } = await import('../../bench/baseline/baseline-file.ts');
    const baseline = before === undefined ? undefined : await readBaseline(before);
    if (baseline !== undefined) {
      const { assertComparable } = await import('../../bench/baseline/assert-comparable.ts');
      await assertComparable({ ...options, signal }, baseline);
    }
    const { compareWithBaseline } = await import('../../bench/baseline/compare.ts');
    const report = await measure(session, { ...options, signal });
    // What was measured in minutes is printed and kept as far as that is possible, whatever fails then.
    const problems: unknown[] = [];
    const attempt = async <T>(work: () => Promise<T> | T): Promise<T | undefined> => {
      try {
        return await work();
      } catch (error) {
        problems.push(error);
        return undefined;
      }
    };
    await attempt(() => assertMeasured(report));
    if (after !== undefined) await attempt(() => saveBaseline(report, after));
    if (page !== undefined) await attempt(() => writePage(page, report));
    const comparison =
      baseline && (await attempt(() => compareWithBaseline(report, baseline, { maxRegression: most })));
    const [error] = problems;
    const verdict = comparison?.verdict === 'worse' ? EXIT.differences : EXIT.done;
    session.print(
      { ...report, ...(comparison && { comparison }), ...(problems.length > 0 && { error }) },
      (style) => [
        ...benchLines(report, style),
        ...(comparison === undefined ? [] : ['', ...baselineLines(comparison, style)]),
      ],
      problems.length === 0 ? verdict : exitCodeOf(error),
    );
    // With --json, the one object has the error, too.
    if (problems.length > 0 && !line.flag('json')) throw error;
  },
});

/** @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when there is no figure at all */
function assertMeasured({ results, skipped }: BenchReport): void {
  if (results.length > 0) return;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'nothing could be measured', {
    found: [...new Set(skipped.map(({ reason }) => reason))].join('; '),
  });
}

async function measure(session: Session, options: BenchOptions): Promise<BenchReport> {
  const api = await import('../../bench/bench.ts');
  using lines = new BenchProgressLines(session, options.rounds ?? USUAL_ROUNDS);
  const report = await api.bench({ ...options, onProgress: lines.update });
  lines.done();
  return report;
}

async function writePage(path: string, report: BenchReport): Promise<void> {
  const { benchPage } = await import('../../bench/html/page.ts');
  const text = await benchPage(report);
  await writeFile(path, text).catch((cause: unknown) => {
    throw ioError('cannot write the page', path, cause);
  });
}
