import { readFile } from 'node:fs/promises';

import { MappedRamError } from '../../errors.ts';
import { ioError } from '../../io/fd-io.ts';
import type { BenchReport } from '../report.ts';
import { checkedReport } from '../baseline/check-report.ts';
import { sizesInWords } from '../report-words.ts';
import { escapeHtml, jsonForScript } from './escape.ts';
import { STYLE } from './style.ts';
import { factsList, resultTable, skippedList } from './tables.ts';

/** The charts' script, which the build makes of page/. The path is the same from ts/ and from dist/. */
const CHARTS: URL = new URL('../../../dist/bench/html/charts.js', import.meta.url);

/** The page loads nothing, and says so to the browser. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

const LEGEND = [
  ['mapped-ram', 'mapped-ram'],
  ['fio', 'fio'],
  ['copy', 'plain copy'],
  ['qemu', 'QEMU'],
] as const;

/**
 * Makes a page of a report: one HTML file that needs no other, with charts, tables, the facts of the machine, and the
 * report itself as JSON (the element `reports`). Several sizes, in one report or in several of one machine, also show how
 * cost grows with size.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT without a report; ERR_MAPPED_RAM_CORRUPT or
 * ERR_MAPPED_RAM_UNSUPPORTED_VERSION for something else; ERR_MAPPED_RAM_IO when the package's own
 * script of the charts cannot be read
 */
export async function benchPage(reports: BenchReport | readonly BenchReport[]): Promise<string> {
  const given = isList(reports) ? reports : [reports];
  const all = given.map((report, index) => checkedReport(report, { name: `reports[${index}]` }));
  const [first] = all;
  if (first === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'reports', {
      expected: 'at least one report',
      found: 'none',
    });
  }
  const script = await readFile(CHARTS, 'utf8').catch((cause: unknown) => {
    throw ioError('cannot read the script of the charts', CHARTS.pathname, cause);
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>mapped-ram bench, ${escapeHtml(first.startedAt)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>mapped-ram bench</h1>
<p>${escapeHtml(headline(first))}</p>
<ul class="legend">${LEGEND.map(([id, name]) => `<li><i style="background:var(--${id})"></i>${name}</li>`).join('')}</ul>
<noscript><p>The charts need JavaScript; the tables below have all figures.</p></noscript>
<section id="times" hidden><h2>Time</h2></section>
<section id="growth" hidden><h2>Time against size</h2></section>
<section id="sweep" hidden><h2>Channels, queue depth and request size</h2></section>
<section><h2>All figures</h2>
${all.map((report) => figures(report, all.length > 1)).join('\n')}
</section>
<section><h2>The machine</h2>
${all.map((report) => factsList(report)).join('\n')}
</section>
</main>
<script type="application/json" id="reports">${jsonForScript(all)}</script>
<script>${script}</script>
</body>
</html>
`;
}

function figures(report: BenchReport, hasTitle: boolean): string {
  return [
    ...(hasTitle ? [`<h3>${sizesInWords(report.settings.sizes)}</h3>`] : []),
    '<p>Medians of all rounds. Idle is the memory of a process of this kind that does nothing. A figure that could not be measured is –.</p>',
    ...report.results.map((result) => resultTable(result, report.settings)),
    skippedList(report),
  ].join('\n');
}

function headline({ machine, settings }: BenchReport): string {
  const parts = [
    `${settings.rounds} alternating rounds`,
    `${sizesInWords(settings.sizes)} of guest memory`,
    machine.cpu,
    `${machine.processors} processors`,
    machine.filesystem,
    machine.device,
  ];
  return parts.filter((part) => part !== undefined).join(' · ');
}

function isList(reports: BenchReport | readonly BenchReport[]): reports is readonly BenchReport[] {
  return Array.isArray(reports);
}
