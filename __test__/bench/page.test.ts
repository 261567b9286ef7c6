import { readFile } from 'node:fs/promises';
import { runInNewContext } from 'node:vm';

import test from 'ava';
import { parseHTML } from 'linkedom';

import { benchPage } from '../../ts/bench/html/page.ts';
import type { BenchReport, BenchSweep, ContenderResult, SweepPoint } from '../../ts/bench/report.ts';
import { ROOT } from '../support/tree.ts';
import { contenderOf, reportOf } from './noisy-reports.ts';

const MOST_BYTES = 600_000;
const NASTY = '</script><script>alert(1)</script><!-- "quoted" & \u2028';

function reportOfSize(size: number, name = 'mapped-ram'): BenchReport {
  const time = size / 1e6;
  const contenders = [
    contenderOf(name, 'mapped-ram', [time, time + 2, time + 1]),
    contenderOf('QEMU × 2', 'qemu', [2 * time, 2 * time, 2 * time]),
  ];
  return reportOf([{ size, work: 'load', memory: 'random', file: 'cold', contenders }], 3);
}

function sweepOf(): BenchSweep {
  const points = [1, 2].flatMap((channels) =>
    [4, 16].map((queueDepth): SweepPoint => ({
      work: 'save',
      ioEngine: 'io_uring',
      channels,
      queueDepth,
      requestSize: 2 ** 20,
      milliseconds: { median: 100 * channels + queueDepth, min: 90, max: 300 },
    })),
  );
  const [best, defaults] = points;
  return {
    size: 2 ** 30,
    fixed: {},
    points,
    best: best === undefined || defaults === undefined ? [] : [{ work: 'save', best, defaults }],
  };
}

/** A contender of a restore, whose guest ran after a time. */
function ranAfter(running: number, contender: ContenderResult): ContenderResult {
  const moments = { running: { median: running, min: running, max: running } };
  return { ...contender, summary: { ...contender.summary, moments } };
}

/** Runs the page's scripts as a browser does, in a document that has no layout. */
function run(page: string): ReturnType<typeof parseHTML>['document'] {
  const { document } = parseHTML(page);
  const scripts = [...document.querySelectorAll('script:not([type])')];
  const window = { document, structuredClone, console };
  for (const { textContent } of scripts) runInNewContext(textContent, { ...window, window });
  return document;
}

test('the build made the script of the charts, with the licences of what it consists of', async (t) => {
  const script = await readFile(`${ROOT}/dist/bench/html/charts.js`, 'utf8');
  t.regex(script, /^\/\*!\n@observablehq\/plot:\n\nCopyright/);
  t.regex(script, /^d3-array, .*:$/m);
  t.regex(script, /Permission to use, copy, modify/);
});

test('the page is one small file that loads nothing', async (t) => {
  const page = await benchPage(reportOfSize(2 ** 30));
  t.true(Buffer.byteLength(page) < MOST_BYTES);
  const { document } = parseHTML(page);
  t.is(document.querySelectorAll('[src], link, img, iframe').length, 0);
  t.regex(document.querySelector('meta[http-equiv]')?.getAttribute('content') ?? '', /default-src 'none'/);
  t.notRegex(document.querySelector('style')?.textContent ?? '', /url\(|@import/);
});

test('the page carries the reports as they were, whatever texts are in them', async (t) => {
  const report = { ...reportOfSize(2 ** 30, NASTY), startedAt: NASTY };
  const page = await benchPage(report);
  t.is(page.split('</script>').length, 3);
  t.false(page.includes('alert(1)</script>'));
  const { document } = parseHTML(page);
  t.deepEqual(JSON.parse(document.querySelector('#reports')?.textContent ?? ''), [report]);
  t.is(document.querySelector('tbody td')?.textContent, NASTY);
});

test('the page has the table, the facts of the machine, and what could not be measured', async (t) => {
  const report = {
    ...reportOfSize(2 ** 30),
    skipped: [{ size: 2 ** 30, work: 'save', name: 'fio', reason: 'no fio' }],
  } as const;
  const { document } = parseHTML(await benchPage(report));
  const text = document.body.textContent;
  for (const words of ['a made-up one', 'nvme0n1', '6.12.0', 'save, fio: no fio', 'fastest – slowest']) {
    t.true(text.includes(words), words);
  }
});

test('the script draws bars per kind of work, and says in words what they show', async (t) => {
  const document = run(await benchPage(reportOfSize(2 ** 30)));
  const [figure, ...more] = document.querySelectorAll('#times figure');
  t.is(more.length, 0);
  t.is(figure?.querySelector('h3')?.textContent, 'load, random memory, cold file');
  t.is(figure?.querySelectorAll('[aria-label="bar"] > *').length, 2);
  t.is(figure?.querySelectorAll('[aria-label="dot"] circle').length, 6);
  t.regex(
    figure?.querySelector('[role="img"]')?.getAttribute('aria-label') ?? '',
    /mapped-ram 1\.07 s, QEMU/,
  );
  t.true(document.querySelector('#growth')?.hasAttribute('hidden'));
  t.true(document.querySelector('#sweep')?.hasAttribute('hidden'));
});

test('reports of several sizes make lines against size', async (t) => {
  const document = run(await benchPage([reportOfSize(2 ** 30), reportOfSize(2 ** 31)]));
  t.is(document.querySelectorAll('#times figure').length, 2);
  t.is(document.querySelectorAll('#growth figure').length, 1);
  t.is(document.querySelectorAll('#growth [aria-label="line"] path').length, 2);
});

test('one report of several sizes makes them, too, and its tables and facts name the sizes', async (t) => {
  const [small, large] = [reportOfSize(2 ** 28), reportOfSize(2 ** 31)];
  const report = reportOf([...large.results, ...small.results], 3);
  const page = await benchPage({
    ...report,
    skipped: [
      { size: 2 ** 28, work: 'restore', name: 'eager', reason: 'too small' },
      { size: 2 ** 28, work: 'save', name: 'fio', reason: 'no fio' },
      { size: 2 ** 31, work: 'save', name: 'fio', reason: 'no fio' },
    ],
  });
  const document = run(page);
  t.deepEqual(
    [...document.querySelectorAll('#times h3')].map(({ textContent }) => textContent),
    ['load, random memory, cold file, 2 GiB', 'load, random memory, cold file, 256 MiB'],
  );
  t.is(document.querySelectorAll('#growth figure').length, 1);
  t.is(document.querySelectorAll('#growth [aria-label="line"] path').length, 2);
  t.deepEqual(
    [...document.querySelectorAll('caption')].map(({ textContent }) => textContent),
    ['load, random memory, cold file, 2 GiB', 'load, random memory, cold file, 256 MiB'],
  );
  t.deepEqual(
    [...document.querySelectorAll('li')].slice(-2).map(({ textContent }) => textContent),
    ['restore, eager: too small (256 MiB)', 'save, fio: no fio'],
  );
  t.true(document.body.textContent.includes('2 GiB, 256 MiB'));
});

test('a restore is drawn to the working set, with a stroke where the guest runs', async (t) => {
  const ran = [
    ranAfter(100, contenderOf('instant', 'mapped-ram', [300, 310])),
    ranAfter(400, contenderOf('QEMU × 4', 'qemu', [500, 510])),
  ];
  const report = reportOf(
    [{ size: 2 ** 30, work: 'restore', memory: 'random', file: 'cold', contenders: ran }],
    2,
  );
  const document = run(await benchPage(report));
  t.is(document.querySelectorAll('#times [aria-label="tick"] line').length, 2);
  t.regex(
    document.querySelector('#times figcaption')?.textContent ?? '',
    /working set\. Stroke across: the guest runs/,
  );
  t.is(document.querySelector('thead th:nth-child(2)')?.textContent, 'working set, s');
});

test('a sweep makes a heat map, with the fastest and the defaults marked', async (t) => {
  const document = run(await benchPage({ ...reportOfSize(2 ** 30), sweep: sweepOf() }));
  const cells = [...document.querySelectorAll('#sweep [aria-label="cell"]')];
  t.deepEqual(
    cells.map((group) => group.querySelectorAll('rect').length),
    [4, 1, 1],
  );
});

test('a page of no report is an error', async (t) => {
  await t.throwsAsync(benchPage([]), { code: 'ERR_MAPPED_RAM_INVALID_ARGUMENT' });
});
