// The script of the page that ts/bench/html makes. It draws charts of the reports that the page carries as JSON.
import type { BenchReport } from '../ts/bench/report.ts';
import { timeCharts } from './bars.ts';
import { type Chart, chartWidth } from './chart.ts';
import { growthCharts } from './growth.ts';
import { sweepCharts } from './sweep.ts';

const DRAWINGS: Readonly<
  Record<string, (reports: readonly BenchReport[], width: number) => readonly Chart[]>
> = {
  times: timeCharts,
  growth: growthCharts,
  sweep: sweepCharts,
};

const data = document.getElementById('reports')?.textContent;
const reports: readonly BenchReport[] = data ? JSON.parse(data) : [];
draw(reports);

function draw(all: readonly BenchReport[]): void {
  for (const [id, chartsOf] of Object.entries(DRAWINGS)) {
    const place = document.getElementById(id);
    if (place === null) continue;
    const charts = chartsOf(all, chartWidth(place));
    if (charts.length > 0) place.hidden = false;
    place.append(...charts.map((chart) => figureOf(chart)));
  }
}

function figureOf({ title, caption, drawing, description }: Chart): HTMLElement {
  const [figure, heading, below] = ['figure', 'h3', 'figcaption'].map((tag) => document.createElement(tag));
  if (!figure || !heading || !below) throw new TypeError('a document makes elements');
  heading.textContent = title;
  below.textContent = caption;
  drawing.setAttribute('role', 'img');
  drawing.setAttribute('aria-label', `${title}: ${description}`);
  figure.append(heading, drawing, below);
  return figure;
}
