// Draws the charts of the documentation from reports: `npm run charts -- OPTIONS`, and without options it says which
// chart needs which report. The drawing is that of the bench's page.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { DOMParser } from 'linkedom';

import { checkedReport } from '../ts/bench/baseline/check-report.ts';
import { ROOT } from './native-files.mjs';

const USAGE = `npm run charts -- OPTIONS draws docs/charts/NAME.svg from reports.

  --times FILE    bars with spread per contender, for each work: \`mapped-ram bench --json\`
  --growth FILE   time against size: such reports, the option repeated, of two sizes at least
  --sweep FILE    channels × queue depth: \`mapped-ram bench --sweep --json\`
  --scaling FILE  time against size, channels and zero pages: \`npm run --silent measure:scaling\`
  --only TEXT     of these only charts that have the text in their names; can be repeated
  --out DIR       another folder than docs/charts
`;
const WIDTH = 760;
/** The package carries the documentation, and the charts with it. */
const MOST_OF_ONE = 60 * 1024;
const MOST_OF_ALL = 300 * 1024;

// Observable Plot draws into the document of the window, which has to be there before Plot is loaded.
const document = new DOMParser().parseFromString(
  '<svg xmlns="http://www.w3.org/2000/svg"/>',
  'image/svg+xml',
);
globalThis.window = { document };
const { timeCharts } = await import('../page/bars.ts');
const { growthCharts } = await import('../page/growth.ts');
const { sweepCharts } = await import('../page/sweep.ts');
const { scalingCharts } = await import('../page/scaling.ts');
const { svgOf } = await import('../page/svg.ts');

const KINDS = {
  times: {
    needs: 'a report of `mapped-ram bench --json` with results',
    draw: (paths) => timeCharts(paths.map(benchReport), WIDTH),
  },
  growth: {
    needs: 'reports of `mapped-ram bench --json` that have the same work with two sizes at least',
    draw: (paths) => growthCharts(paths.map(benchReport), WIDTH),
  },
  sweep: {
    needs: 'a report of `mapped-ram bench --sweep --json`',
    draw: (paths) => sweepCharts(paths.map(benchReport), WIDTH),
  },
  scaling: {
    needs: 'what `npm run --silent measure:scaling` prints',
    draw: (paths) => paths.flatMap((path) => scalingCharts(scalingReport(path), WIDTH)),
  },
};

try {
  main();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

function main() {
  const list = { type: 'string', multiple: true, default: [] };
  const { values } = parseArgs({
    options: {
      ...Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, list])),
      only: list,
      out: { type: 'string', default: join(ROOT, 'docs', 'charts') },
    },
  });
  const kinds = Object.entries(KINDS).filter(([kind]) => values[kind].length > 0);
  if (kinds.length === 0) {
    process.stdout.write(USAGE);
    return;
  }
  const all = kinds.flatMap(([kind, { needs, draw }]) => {
    const charts = draw(values[kind]);
    if (charts.length > 0) return charts.map((chart) => [nameOf(kind, chart), svgOf(chart)]);
    throw new Error(`--${kind} needs ${needs}; there is nothing to draw in ${values[kind].join(', ')}`);
  });
  write(values.out, chosen(all, values.only));
}

/** A name of letters and dashes, which a link can have. */
function nameOf(kind, { title }) {
  return `${kind}-${title}`.replaceAll('×', 'by').replaceAll(/[^\w.]+/g, '-');
}

function chosen(all, only) {
  const names = all.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new Error(`two reports make the chart ${twice}: draw them into different folders`);
  for (const text of only) {
    if (!names.some((name) => name.includes(text)))
      throw new Error(`--only ${text}: no chart has that in its name; there are ${names.join(', ')}`);
  }
  return only.length === 0 ? all : all.filter(([name]) => only.some((text) => name.includes(text)));
}

/** Writes the charts, unless one of them, or what is then in the folder, is too large for the package. */
function write(folder, charts) {
  for (const [name, svg] of charts) {
    const bytes = Buffer.byteLength(svg);
    if (bytes > MOST_OF_ONE) throw new Error(`${name} has ${bytes} bytes, more than ${MOST_OF_ONE}`);
  }
  mkdirSync(folder, { recursive: true });
  const names = new Set(charts.map(([name]) => `${name}.svg`));
  const others = readdirSync(folder).filter((name) => name.endsWith('.svg') && !names.has(name));
  const kept = others.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  const total = charts.reduce((sum, [, svg]) => sum + Buffer.byteLength(svg), kept);
  if (total > MOST_OF_ALL)
    throw new Error(
      `${folder} would have ${total} bytes of charts, more than ${MOST_OF_ALL}: choose some with --only`,
    );
  for (const [name, svg] of charts) {
    const path = join(folder, `${name}.svg`);
    writeFileSync(path, svg);
    process.stdout.write(`${path}: ${Buffer.byteLength(svg)} bytes\n`);
  }
}

function benchReport(path) {
  return checkedReport(parsed(path), { name: 'the report', path });
}

function scalingReport(path) {
  const report = parsed(path);
  if (report?.kind === 'scaling' && report.schemaVersion === 1) return report;
  throw new Error(`${path}: expected ${KINDS.scaling.needs}, found another form of JSON`);
}

function parsed(path) {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is no JSON: ${error.message}`, { cause: error });
  }
}
