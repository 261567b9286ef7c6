import { defined } from '../engine/engine-options.ts';
import type { CheckedBenchOptions } from './bench-options.ts';
import type { BenchFiles } from './contender.ts';
import type { BenchTransfer, TransferWay } from './ours/job.ts';
import { OurContender } from './ours/our-contender.ts';
import { OurWorker } from './ours/worker.ts';
import type { BenchSweep, SweepBest, SweepPoint } from './report.ts';
import { runRounds } from './rounds.ts';
import { spread } from './summary.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const CHANNELS = [1, 2, 4, 8];
const DEPTHS = [4, 16, 64];
const SIZES = [256 * KIB, MIB, 4 * MIB];
/** The most bytes of buffers that a point may take: nobody would want more for a default. */
const MOST_BUFFERS = 256 * MIB;

type SweepWork = SweepPoint['work'];

/** The settings that a sweep tries, beside the defaults. */
export function sweepSettings(): readonly BenchTransfer[] {
  const rings = CHANNELS.flatMap((channels) =>
    DEPTHS.flatMap((queueDepth) =>
      SIZES.map((requestSize) => ({ ioEngine: 'io_uring' as const, channels, queueDepth, requestSize })),
    ),
  );
  const threads = CHANNELS.flatMap((channels) =>
    SIZES.map((requestSize) => ({ ioEngine: 'threads' as const, channels, requestSize })),
  );
  return [
    ...rings.filter(
      ({ channels, queueDepth, requestSize }) => channels * queueDepth * requestSize <= MOST_BUFFERS,
    ),
    ...threads,
  ];
}

/**
 * Tries channels, queue depths and request sizes against the defaults, in alternating rounds, with cold files. All
 * points have one process, so that there are not dozens of them.
 *
 * @param hasRing true where there is io_uring
 * @throws {MappedRamError} as `runRounds`
 */
export async function runSweep(
  files: BenchFiles,
  { rounds, work, transfer, signal, onProgress }: CheckedBenchOptions,
  hasRing: boolean,
): Promise<BenchSweep> {
  const points: SweepPoint[] = [];
  const best: SweepBest[] = [];
  const { directIo } = transfer;
  // The first has the defaults.
  const tried = [{}, ...sweepSettings()].filter(
    ({ ioEngine }: BenchTransfer) => hasRing || ioEngine !== 'io_uring',
  );
  for (const kind of (['save', 'load'] as const).filter((name) => work.includes(name))) {
    await using worker = OurWorker.start(kind);
    const contenders = tried.map(
      (settings) =>
        new OurContender({
          name: nameOf(settings),
          work: kind,
          files,
          state: 'cold',
          transfer: { ...settings, directIo },
          worker,
        }),
    );
    const title = `sweep of ${kind}, ${files.pattern}`;
    const figures = await runRounds(contenders, {
      rounds,
      title,
      countsSyscalls: false,
      signal,
      onTurn: (turn) => onProgress({ title, ...turn }),
    });
    const found = contenders.flatMap(({ way }, index) => {
      const times = (figures[index] ?? []).map(({ milliseconds }) => milliseconds);
      return way === undefined ? [] : [pointOf(kind, tried[index] ?? {}, way, times)];
    });
    const [defaults, ...others] = found;
    points.push(...others);
    if (defaults !== undefined) best.push({ work: kind, best: fastest(found, defaults), defaults });
  }
  return { size: files.size, points, best };
}

function nameOf({ ioEngine, channels, queueDepth, requestSize }: BenchTransfer): string {
  if (ioEngine === undefined) return 'defaults';
  const depth = queueDepth === undefined ? '' : ` × ${queueDepth}`;
  return `${ioEngine}, ${channels}${depth} × ${(requestSize ?? 0) / KIB} KiB`;
}

/** The settings that were asked for, and what the engine took where none were: a small file may be work for fewer channels. */
function pointOf(
  work: SweepWork,
  asked: BenchTransfer,
  taken: TransferWay,
  times: readonly number[],
): SweepPoint {
  const { ioEngine } = taken;
  const { channels, queueDepth, requestSize } = { ...taken, ...defined(asked) };
  return {
    work,
    ioEngine,
    channels,
    // Its channels have one request in flight.
    queueDepth: ioEngine === 'threads' ? 1 : queueDepth,
    requestSize,
    milliseconds: spread(times),
  };
}

function fastest(points: readonly SweepPoint[], start: SweepPoint): SweepPoint {
  return points.reduce(
    (best, point) => (point.milliseconds.median < best.milliseconds.median ? point : best),
    start,
  );
}
