import { BENCH_WORKS, FILE_STATES, MEMORY_PATTERNS } from '../figures.ts';
import { REPORT_VERSION, type BenchReport } from '../report.ts';
import { Checks, isObject, type Checked, type Members } from './checks.ts';

const SUMMARY = [
  'gigabytesPerSecond',
  'cpuSecondsPerGiB',
  'peakBytes',
  'idleBytes',
  'pageCacheBytes',
  'syscallsPerGiB',
  'requestsPerGiB',
] as const;
const POINT = ['channels', 'queueDepth', 'requestSize'] as const;
/** A report is not as deep as this. */
const DEPTH = 16;

/**
 * Checks that a value is a report with the members that comparisons and pages use.
 * @param value parsed JSON, or whatever a program has given
 * @returns a copy in which members that are null are missing: --json prints null for what is not known
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED_VERSION, ERR_MAPPED_RAM_CORRUPT
 */
export function checkedReport(value: unknown, checked: Checked): BenchReport {
  const checks = new Checks(checked);
  const report = withoutNulls(checks.object(value), DEPTH);
  checkMembers(checks, checks.object(report));
  return asReport(report);
}

function checkMembers(checks: Checks, report: Members): void {
  checks.version(report['schemaVersion'], REPORT_VERSION);
  checks.text(report['startedAt'], 'startedAt');
  const machine = checks.object(report['machine'], 'machine');
  checks.positive(machine['memory'], 'machine.memory');
  checks.number(machine['load'], 'machine.load');
  checkSettings(checks, checks.object(report['settings'], 'settings'));
  for (const [index, result] of checks.list(report['results'], 'results').entries()) {
    checkResult(checks, result, `results[${index}]`);
  }
  for (const [index, one] of checks.list(report['skipped'], 'skipped').entries()) {
    const [where, skipped] = [`skipped[${index}]`, checks.object(one, `skipped[${index}]`)];
    checks.positive(skipped['size'], `${where}.size`);
    for (const member of ['work', 'name', 'reason']) checks.text(skipped[member], `${where}.${member}`);
  }
  if (report['sweep'] !== undefined) checkSweep(checks, checks.object(report['sweep'], 'sweep'));
}

function checkSettings(checks: Checks, settings: Members): void {
  checks.text(settings['directory'], 'settings.directory');
  for (const [index, size] of checks.list(settings['sizes'], 'settings.sizes').entries()) {
    checks.positive(size, `settings.sizes[${index}]`);
  }
  checks.positive(settings['rounds'], 'settings.rounds');
  checks.object(settings['transfer'], 'settings.transfer');
}

function checkResult(checks: Checks, value: unknown, where: string): void {
  const result = checks.object(value, where);
  checks.positive(result['size'], `${where}.size`);
  checks.oneOf(BENCH_WORKS, result['work'], `${where}.work`);
  checks.oneOf(MEMORY_PATTERNS, result['memory'], `${where}.memory`);
  checks.oneOf(FILE_STATES, result['file'], `${where}.file`);
  checks.numberIfAny(result['otherProcessors'], `${where}.otherProcessors`);
  for (const [index, contender] of checks.list(result['contenders'], `${where}.contenders`).entries()) {
    checkContender(checks, contender, `${where}.contenders[${index}]`);
  }
}

function checkContender(checks: Checks, value: unknown, where: string): void {
  const contender = checks.object(value, where);
  checks.text(contender['name'], `${where}.name`);
  checks.text(contender['program'], `${where}.program`);
  checks.oneOf([true, false], contender['isReference'], `${where}.isReference`);
  checks.object(contender['settings'], `${where}.settings`);
  for (const [index, one] of checks.list(contender['rounds'], `${where}.rounds`).entries()) {
    const place = `${where}.rounds[${index}]`;
    const round = checks.object(one, place);
    checks.positive(round['milliseconds'], `${place}.milliseconds`);
    for (const [name, time] of moments(checks, round, place)) checks.positive(time, name);
  }
  const summary = checks.object(contender['summary'], `${where}.summary`);
  checkSpread(checks, summary['milliseconds'], `${where}.summary.milliseconds`);
  for (const member of SUMMARY) checks.numberIfAny(summary[member], `${where}.summary.${member}`);
  for (const [name, time] of moments(checks, summary, `${where}.summary`)) checkSpread(checks, time, name);
}

/** The moments of a round or a summary, with their places in the report. */
function moments(checks: Checks, { moments: all }: Members, where: string): readonly [string, unknown][] {
  if (all === undefined) return [];
  const found = checks.object(all, `${where}.moments`);
  return Object.entries(found).map(([name, time]) => [`${where}.moments.${name}`, time]);
}

function checkSpread(checks: Checks, value: unknown, where: string): void {
  const found = checks.object(value, where);
  for (const member of ['median', 'min', 'max']) checks.positive(found[member], `${where}.${member}`);
}

function checkSweep(checks: Checks, sweep: Members): void {
  checks.positive(sweep['size'], 'sweep.size');
  for (const [index, point] of checks.list(sweep['points'], 'sweep.points').entries()) {
    checkPoint(checks, point, `sweep.points[${index}]`);
  }
  for (const [index, one] of checks.list(sweep['best'], 'sweep.best').entries()) {
    const [where, best] = [`sweep.best[${index}]`, checks.object(one, `sweep.best[${index}]`)];
    checks.oneOf(['save', 'load'], best['work'], `${where}.work`);
    for (const member of ['best', 'defaults']) checkPoint(checks, best[member], `${where}.${member}`);
  }
}

function checkPoint(checks: Checks, value: unknown, where: string): void {
  const point = checks.object(value, where);
  checks.oneOf(['save', 'load'], point['work'], `${where}.work`);
  checks.oneOf(['io_uring', 'threads'], point['ioEngine'], `${where}.ioEngine`);
  for (const member of POINT) checks.positive(point[member], `${where}.${member}`);
  checkSpread(checks, point['milliseconds'], `${where}.milliseconds`);
}

function withoutNulls(value: unknown, depth: number): unknown {
  if (depth === 0) return value;
  if (Array.isArray(value)) return value.map((one) => withoutNulls(one, depth - 1));
  if (!isObject(value)) return value;
  const known = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(known.map(([name, member]) => [name, withoutNulls(member, depth - 1)]));
}

function asReport(report: unknown): BenchReport {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every member that is used has been checked
  return report as BenchReport;
}
