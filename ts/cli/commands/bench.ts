import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { type BenchOptions, USUAL_ROUNDS } from '../../bench/bench-options.ts';
import type { BenchReport } from '../../bench/report.ts';
import { assertDirectory } from '../../host/filesystem.ts';
import { ioError } from '../../io/fd-io.ts';
import { defineCommand, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
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
    const [page, after, before] = [line.value('html'), line.value('save-baseline'), line.value('baseline')];
    // What cannot be written or read is found out before minutes go by.
    for (const path of [page, after]) if (path !== undefined) await assertDirectory(dirname(path));
    const { readBaseline, saveBaseline } = await import('../../bench/baseline/baseline-file.ts');
    const baseline = before === undefined ? undefined : await readBaseline(before);
    if (baseline !== undefined) {
      const { assertEnoughRounds } = await import('../../bench/baseline/assert-rounds.ts');
      assertEnoughRounds(options.rounds ?? USUAL_ROUNDS, baseline);
    }
    const report = await measure(session, { ...options, signal });
    if (after !== undefined) await saveBaseline(report, after);
    if (page !== undefined) await writePage(page, report);
    const { compareWithBaseline } = await import('../../bench/baseline/compare.ts');
    const comparison = baseline && compareWithBaseline(report, baseline, { maxRegression: most });
    session.print(
      { ...report, ...(comparison && { comparison }) },
      (style) => [
        ...benchLines(report, style),
        ...(comparison === undefined ? [] : ['', ...baselineLines(comparison, style)]),
      ],
      comparison?.verdict === 'worse' ? EXIT.differences : EXIT.done,
    );
  },
});

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
