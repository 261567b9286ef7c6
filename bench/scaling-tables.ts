import {
  SCALING_AXES,
  type ScalingAxis,
  type ScalingPoint,
  type ScalingReport,
  type ScalingSeries,
} from './scaling-report.ts';

const GIB = 2 ** 30;
const HEADINGS: Readonly<Record<ScalingAxis, string>> = {
  size: 'memory',
  channels: 'channels',
  zeros: 'zero pages',
};

/** Makes the Markdown tables of a report: one for each quantity, with what the figures are. */
export function scalingTables(report: ScalingReport): string {
  const parts = SCALING_AXES.flatMap((axis) => {
    const series = report.series.filter((one) => one.axis === axis);
    return series.length === 0 ? [] : [tableOf(axis, series)];
  });
  const intro = `Medians of ${report.rounds} rounds in turns, at a load average of ${report.machine.load.toFixed(1)} at the start; in brackets the extremes. GB and GiB are of guest memory, zero pages included.`;
  return `${[intro, ...parts].join('\n\n')}\n`;
}

function tableOf(axis: ScalingAxis, series: readonly ScalingSeries[]): string {
  const places = [...new Set(series.flatMap(({ points }) => points.map(({ at }) => at)))];
  // Bytes of memory per second say little where most of these bytes are zeros.
  const figures: readonly Figure[] = axis === 'zeros' ? [TIME, CPU] : [TIME, RATE, CPU];
  const head = [
    HEADINGS[axis],
    ...series.flatMap(({ name }) => figures.map(({ heading }) => heading || name)),
  ];
  const rows = places
    .toSorted((left, right) => left - right)
    .map((at) => {
      const points = series.map((one) => one.points.find((point) => point.at === at));
      const cells = points.flatMap((point) => figures.map(({ text }) => (point ? text(point) : '–')));
      return [placeText(axis, at)].concat(cells);
    });
  const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  if (axis === 'size') return `${table}\n\n${growthOf(series)}`;
  const sizes = new Set(series.flatMap(({ points }) => points.map(({ size }) => sizeText(size))));
  return `Of ${[...sizes].join(', ')}:\n\n${table}`;
}

interface Figure {
  /** Empty where the name of the series stands. */
  readonly heading: string;
  readonly text: (point: ScalingPoint) => string;
}

const TIME: Figure = {
  heading: '',
  text: ({ milliseconds: { median, min, max } }) =>
    `${secondsText(median)} s (${secondsText(min)} to ${secondsText(max)})`,
};
const RATE: Figure = {
  heading: 'GB/s',
  text: ({ size, milliseconds }) => (size / 1e6 / milliseconds.median).toFixed(2),
};
const CPU: Figure = {
  heading: 'CPU s/GiB',
  text: ({ size, cpuMs }) => (cpuMs / 1000 / (size / GIB)).toFixed(2),
};

/** Says how the time of the largest memory compares with that of each smaller one. */
function growthOf(series: readonly ScalingSeries[]): string {
  const lines = series.map(({ name, points }) => {
    const sorted = points.toSorted((left, right) => right.size - left.size);
    const [largest, ...smaller] = sorted;
    const ratios = smaller.map(
      ({ size, milliseconds }) =>
        `${times(largest?.milliseconds.median, milliseconds.median)} × the time of ${sizeText(size)} (${times(largest?.size, size)} × the memory)`,
    );
    return `- ${name}: ${sizeText(largest?.size ?? Number.NaN)} took ${ratios.join(', ')}.`;
  });
  return lines.join('\n');
}

function times(value: number | undefined, other: number): string {
  return String(Number(((value ?? Number.NaN) / other).toFixed(2)));
}

function placeText(axis: ScalingAxis, at: number): string {
  if (axis === 'size') return sizeText(at);
  return axis === 'zeros' ? `${at} %` : String(at);
}

function sizeText(bytes: number): string {
  return bytes >= GIB ? `${Number((bytes / GIB).toFixed(2))} GiB` : `${bytes / 2 ** 20} MiB`;
}

function secondsText(milliseconds: number): string {
  const value = milliseconds / 1000;
  return value.toFixed(value < 0.1 ? 3 : 2);
}
