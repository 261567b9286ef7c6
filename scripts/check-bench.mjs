// Tests the benchmark itself, in short: all kinds of work once, the report's form, a sweep, and the verdict on baselines
// of which it is known what to say. The time of nothing is looked at. Needs a build; every kind of work has the plain copy
// as a reference, and fio where it is installed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ROOT } from './native-files.mjs';

const { compareWithBaseline } = await import(join(ROOT, 'dist/index.js'));

const FINE = 0;
const WORSE = 3;
const OURS = 'mapped-ram';
/** The smallest guest: nothing here depends on the size. */
const SIZE = 16;
const SMALL = ['--size', `${SIZE}MiB`];
/** One contender of this package, where the others would show nothing more. */
const ALONE = ['--io-engine', 'threads', '--direct-io', 'off'];
/** A factor that no noise comes near. */
const MUCH = 20;

const directory = mkdtempSync(join(tmpdir(), 'mapped-ram-check-bench-'));
const measured = join(directory, 'measured');
try {
  mkdirSync(measured);
  checkReport();
  checkSweep();
  checkVerdicts();
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** Runs `mapped-ram bench` and returns its JSON. Nothing may stay behind. */
function bench(status, ...options) {
  const args = [join(ROOT, 'bin/mapped-ram.mjs'), 'bench', '--dir', measured, '--json', ...options];
  // QEMU has nothing to show where this package has one contender.
  const isAlone = ALONE.every((word) => options.includes(word));
  const env = { ...process.env, ...(isAlone && { MAPPED_RAM_QEMU: '/nonexistent/qemu' }) };
  const run = spawnSync(process.execPath, args, { env, encoding: 'utf8', maxBuffer: 2 ** 26 });
  assert.equal(run.status, status, `bench ${options.join(' ')}: ${run.stderr}${run.stdout.slice(0, 2000)}`);
  assert.deepEqual(readdirSync(measured), [], 'the bench left files behind');
  const inMemory = readdirSync('/dev/shm').filter((name) => name.startsWith(`mapped-ram-bench-${run.pid}-`));
  assert.deepEqual(inMemory, [], 'the bench left memory behind');
  return JSON.parse(run.stdout);
}

function checkReport() {
  const [page, saved] = [join(directory, 'page.html'), join(directory, 'saved.json')];
  const report = bench(FINE, ...SMALL, '--rounds', '1', '--html', page, '--save-baseline', saved);
  assert.equal(report.schemaVersion, 1);
  assert.deepEqual(report.settings.sizes, [SIZE * 2 ** 20]);
  for (const fact of ['kernel', 'architecture', 'processors', 'memory', 'node', 'mappedRam'])
    assert.ok(report.machine[fact], `the machine's ${fact} is missing`);
  const works = new Set(report.results.map(({ work }) => work));
  for (const work of ['save', 'load', 'verify', 'diff'])
    assert.ok(works.has(work), `${work} was not measured: ${JSON.stringify(report.skipped)}`);
  for (const { work, contenders } of report.results) {
    assert.ok(
      contenders.some(({ program }) => program === OURS),
      `${work}: this package did not take part`,
    );
    assert.ok(
      contenders.some(({ isReference }) => isReference),
      `${work}: there is no reference`,
    );
    for (const contender of contenders) checkContender(`${work}, ${contender.name}`, contender);
  }
  const text = readFileSync(page, 'utf8');
  assert.ok(/^<!doctype html>/i.test(text), 'the page is no HTML');
  // The charts are drawn where the page is shown, by a script and from data that the page itself has.
  assert.ok(
    /<script/.test(text) && text.includes(report.startedAt),
    'the page lacks its script or the report',
  );
  assert.ok(
    !/<(?:script|img|link)[^>]+(?:src|href)=["']?(?:https?:)?\/\//i.test(text),
    'the page loads from elsewhere',
  );
  assert.equal(JSON.parse(readFileSync(saved, 'utf8')).startedAt, report.startedAt);
}

function checkContender(name, { rounds, summary }) {
  assert.equal(rounds.length, 1, `${name}: rounds`);
  for (const { milliseconds, bytes } of rounds) {
    assert.ok(milliseconds > 0, `${name}: ${milliseconds} ms`);
    assert.ok(bytes > 0, `${name}: ${bytes} bytes`);
  }
  const { median, min, max } = summary.milliseconds;
  assert.ok(min <= median && median <= max, `${name}: ${min} ≤ ${median} ≤ ${max}`);
  const speed = rounds[0].bytes / summary.milliseconds.median / 1e6;
  assert.ok(
    Math.abs(summary.gigabytesPerSecond / speed - 1) < 0.01,
    `${name}: ${summary.gigabytesPerSecond} GB/s`,
  );
}

function checkSweep() {
  const { sweep } = bench(FINE, ...SMALL, ...ALONE, '--rounds', '1', '--work', 'save', '--sweep');
  const tried = new Set(sweep.points.map(({ channels, requestSize }) => `${channels} × ${requestSize}`));
  assert.ok(tried.size > 4, `the sweep tried ${[...tried].join(', ')}`);
  const [{ work, best, defaults, comparison }, ...more] = sweep.best;
  assert.deepEqual([work, more, sweep.size], ['save', [], SIZE * 2 ** 20]);
  assert.deepEqual(sweep.fixed, { ioEngine: 'threads', directIo: 'off' });
  for (const { milliseconds } of [...sweep.points, best, defaults]) assert.ok(milliseconds.median > 0);
  assert.ok(new Set(sweep.points.map(({ ioEngine }) => ioEngine)).size === 1, 'the I/O engine was given');
  if (!comparison) assert.deepEqual(best, defaults);
  else assert.ok(comparison.rounds >= 5, `the defaults were compared in ${comparison.rounds} rounds`);
}

/**
 * A baseline of this build passes. The same baseline, with this package faster in it than it can be, does not; slower,
 * it passes. What a real loss does depends on the disk, so that none is planted here.
 */
function checkVerdicts() {
  const saved = join(directory, 'baseline.json');
  const options = [...SMALL, ...ALONE, '--work', 'verify'];
  bench(FINE, ...options, '--save-baseline', saved);
  const same = bench(FINE, ...options, '--baseline', saved, '--max-regression', '60%');
  assert.equal(same.comparison.verdict, 'fine');
  assert.ok(same.comparison.figures.length > 0, 'nothing was compared');
  const [faster, slower] = [1 / MUCH, MUCH].map((factor) => scaled(saved, factor));
  const worse = bench(WORSE, ...options, '--baseline', faster, '--max-regression', '10%');
  assert.equal(worse.comparison.verdict, 'worse');
  const [figure] = worse.comparison.figures;
  assert.equal(figure.verdict, 'worse');
  assert.ok(figure.change < -0.5, `${figure.work}, ${figure.name} changed by ${figure.change}`);
  // The command has shown what it does with a verdict: this one needs no further run.
  const baseline = JSON.parse(readFileSync(slower, 'utf8'));
  assert.equal(compareWithBaseline(same, baseline, { maxRegression: 0.1 }).verdict, 'fine');
}

/** Writes the baseline with this package's times multiplied. */
function scaled(path, factor) {
  const report = JSON.parse(readFileSync(path, 'utf8'));
  const ours = report.results
    .flatMap(({ contenders }) => contenders)
    .filter(({ program }) => program === OURS);
  for (const { rounds, summary } of ours) {
    for (const round of rounds) round.milliseconds *= factor;
    for (const name of ['median', 'min', 'max']) summary.milliseconds[name] *= factor;
    summary.gigabytesPerSecond /= factor;
  }
  const scaledPath = join(directory, `baseline-${factor}.json`);
  writeFileSync(scaledPath, JSON.stringify(report));
  return scaledPath;
}
