import { MappedRamError } from '../../errors.ts';
import { inWords } from '../../io/in-words.ts';
import { BENCH_WORKS, FILE_STATES, MEMORY_PATTERNS } from '../figures.ts';
import { REPORT_VERSION, type BenchReport } from '../report.ts';

/**
 * Checks that parsed JSON is a report with the members that a comparison uses.
 * @param path the file's name in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED_VERSION, ERR_MAPPED_RAM_CORRUPT
 */
export function checkedReport(value: unknown, path: string): BenchReport {
  const checks = new Checks(path);
  const report = checks.object(value, 'the report');
  checkMembers(checks, report);
  return asReport(report);
}

type Members = Readonly<Record<string, unknown>>;

function checkMembers(checks: Checks, report: Members): void {
  checks.version(report['schemaVersion']);
  checks.text(report['startedAt'], 'startedAt');
  const machine = checks.object(report['machine'], 'machine');
  checks.positive(machine['memory'], 'machine.memory');
  checks.number(machine['load'], 'machine.load');
  const settings = checks.object(report['settings'], 'settings');
  checks.text(settings['directory'], 'settings.directory');
  checks.positive(settings['size'], 'settings.size');
  checks.positive(settings['rounds'], 'settings.rounds');
  checks.object(settings['transfer'], 'settings.transfer');
  for (const [index, result] of checks.list(report['results'], 'results').entries()) {
    checkResult(checks, result, `results[${index}]`);
  }
}

function asReport(report: Members): BenchReport {
  const value: unknown = report;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every member that a comparison uses has been checked
  return value as BenchReport;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkResult(checks: Checks, value: unknown, where: string): void {
  const result = checks.object(value, where);
  checks.oneOf(BENCH_WORKS, result['work'], `${where}.work`);
  checks.oneOf(MEMORY_PATTERNS, result['memory'], `${where}.memory`);
  checks.oneOf(FILE_STATES, result['file'], `${where}.file`);
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
  for (const [index, round] of checks.list(contender['rounds'], `${where}.rounds`).entries()) {
    const place = `${where}.rounds[${index}]`;
    checks.positive(checks.object(round, place)['milliseconds'], `${place}.milliseconds`);
  }
}

class Checks {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  version(value: unknown): void {
    if (value === REPORT_VERSION) return;
    if (value === undefined) throw this.#wrong('schemaVersion', String(REPORT_VERSION), value);
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', 'schemaVersion of the baseline', {
      path: this.#path,
      expected: REPORT_VERSION,
      found: inWords(value),
    });
  }

  object(value: unknown, where: string): Members {
    if (isObject(value)) return value;
    throw this.#wrong(where, 'an object', value);
  }

  list(value: unknown, where: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw this.#wrong(where, 'a list', value);
  }

  text(value: unknown, where: string): void {
    if (typeof value !== 'string') throw this.#wrong(where, 'a text', value);
  }

  number(value: unknown, where: string): void {
    if (typeof value !== 'number') throw this.#wrong(where, 'a number', value);
  }

  positive(value: unknown, where: string): void {
    if (typeof value !== 'number' || !(value > 0)) throw this.#wrong(where, 'a number above 0', value);
  }

  oneOf(values: readonly unknown[], value: unknown, where: string): void {
    if (!values.includes(value)) throw this.#wrong(where, values.join(' or '), value);
  }

  #wrong(where: string, expected: string, found: unknown): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `${where} of the baseline`, {
      path: this.#path,
      expected,
      found: found === undefined ? 'nothing' : inWords(found),
    });
  }
}
