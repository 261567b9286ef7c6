import type { MachineFacts } from '../machine-facts.ts';
import type { BenchReport } from '../report.ts';

/** The facts that ratios may depend on. This package's own version may change: that is the question. */
const FACTS: readonly (keyof MachineFacts)[] = [
  'cpu',
  'architecture',
  'processors',
  'kernel',
  'filesystem',
  'device',
  'node',
  'qemu',
  'fio',
];

/** Memory counts as the same when it differs by less: kernels reserve more or less of it. */
const SAME_MEMORY = 0.05;

/** Tells in words under which other conditions the baseline was made. */
export function conditionsThatDiffer(report: BenchReport, baseline: BenchReport): readonly string[] {
  const [now, before] = [report.machine, baseline.machine];
  return [
    ...different('directory', baseline.settings.directory, report.settings.directory),
    ...transferOptions(report, baseline),
    ...FACTS.flatMap((fact) => different(fact, before[fact], now[fact])),
    ...(Math.abs(now.memory / before.memory - 1) < SAME_MEMORY
      ? []
      : different('memory', before.memory, now.memory)),
    ...(Math.abs(now.load - before.load) < now.processors / 2
      ? []
      : different('load average', before.load, now.load)),
  ];
}

function transferOptions(report: BenchReport, baseline: BenchReport): readonly string[] {
  const [now, before] = [report.settings.transfer, baseline.settings.transfer];
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].flatMap((name) => different(name, before[name] ?? 'default', now[name] ?? 'default'));
}

type Fact = string | number | undefined;

function different(what: string, before: Fact, now: Fact): readonly string[] {
  return before === now ? [] : [`${what}: ${inWords(before)} before, ${inWords(now)} now`];
}

function inWords(fact: Fact): string {
  return fact === undefined ? 'not known' : String(fact);
}
