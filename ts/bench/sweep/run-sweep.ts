import { defined } from '../../engine/engine-options.ts';
import type { CheckedBenchOptions } from '../bench-options.ts';
import type { BenchFiles } from '../contender.ts';
import type { BenchTransfer, TransferWay } from '../ours/job.ts';
import { OurContender } from '../ours/our-contender.ts';
import { OurWorker } from '../ours/worker.ts';
import type { BenchSweep, SweepBest, SweepPoint } from '../report.ts';
import { runRounds } from '../rounds.ts';
import { spread } from '../summary.ts';
import { comparePairs } from './compare-pairs.ts';
import { fixedSettings, sweepSettings } from './sweep-settings.ts';

const KIB = 2 ** 10;
/** Rounds of the search: the fastest of it is measured again, so that more of them would only take time. */
const SEARCH_ROUNDS = 3;
/** Rounds of the fastest against the defaults: one of eight may go wrong without hiding a difference. */
const FINAL_ROUNDS = 8;

type SweepWork = SweepPoint['work'];

/**
 * Tries channels, queue depths and request sizes, in alternating rounds, with cold files. Then the fastest settings meet
 * the defaults again in rounds of their own: the fastest of dozens were lucky in the rounds that made them so. All points
 * have one process, so that there are not dozens of them.
 *
 * @param hasRing true where there is io_uring
 * @throws {MappedRamError} as `runRounds`
 */
export async function runSweep(
  files: BenchFiles,
  options: CheckedBenchOptions,
  hasRing: boolean,
): Promise<BenchSweep> {
  const { work, transfer } = options;
  const points: SweepPoint[] = [];
  const best: SweepBest[] = [];
  for (const kind of (['save', 'load'] as const).filter((name) => work.includes(name))) {
    await using worker = OurWorker.start(kind);
    const run = new SweepRun(kind, files, worker, options);
    // The first has the defaults.
    const [defaults, ...tried] = await run.measure(
      [{}, ...sweepSettings(transfer, hasRing)],
      Math.min(options.rounds, SEARCH_ROUNDS),
      `sweep of ${kind}, ${files.pattern}`,
    );
    points.push(...tried.map(({ point }) => point));
    if (defaults !== undefined) best.push(await final(run, defaults, tried));
  }
  return { size: files.size, fixed: fixedSettings(transfer), points, best };
}

/** Lets the fastest settings of a search and the defaults meet again. */
async function final(run: SweepRun, defaults: Measured, tried: readonly Measured[]): Promise<SweepBest> {
  const others = tried.filter(({ point }) => !isSame(point, defaults.point));
  const winner = others.reduce((one, next) => (medianOf(next) < medianOf(one) ? next : one), defaults);
  const { work } = run;
  if (winner === defaults) return { work, best: defaults.point, defaults: defaults.point };
  const [best = winner, again = defaults] = await run.measure(
    [winner.asked, defaults.asked],
    Math.max(run.options.rounds, FINAL_ROUNDS),
    `fastest of the sweep of ${work} against the defaults`,
  );
  return {
    work,
    best: best.point,
    defaults: again.point,
    comparison: comparePairs(best.times, again.times),
  };
}

function isSame(left: SweepPoint, right: SweepPoint): boolean {
  const keys = ['ioEngine', 'channels', 'queueDepth', 'requestSize'] as const;
  return keys.every((key) => left[key] === right[key]);
}

function medianOf({ point }: Measured): number {
  return point.milliseconds.median;
}

interface Measured {
  readonly asked: BenchTransfer;
  readonly point: SweepPoint;
  /** Milliseconds by round. */
  readonly times: readonly number[];
}

/** The rounds of one kind of work, all in one process. */
class SweepRun {
  readonly work: SweepWork;
  readonly options: CheckedBenchOptions;
  readonly #files: BenchFiles;
  readonly #worker: OurWorker;

  constructor(work: SweepWork, files: BenchFiles, worker: OurWorker, options: CheckedBenchOptions) {
    this.work = work;
    this.options = options;
    this.#files = files;
    this.#worker = worker;
  }

  async measure(
    settings: readonly BenchTransfer[],
    rounds: number,
    title: string,
  ): Promise<readonly Measured[]> {
    const { transfer, signal, onProgress } = this.options;
    const contenders = settings.map(
      (asked) =>
        new OurContender({
          name: nameOf(asked),
          work: this.work,
          files: this.#files,
          state: 'cold',
          transfer: { ...transfer, ...asked },
          worker: this.#worker,
        }),
    );
    const { figures } = await runRounds(contenders, {
      rounds,
      title,
      countsSyscalls: false,
      signal,
      onTurn: (turn) => onProgress({ title, ...turn }),
    });
    return contenders.flatMap(({ way }, index) => {
      const [asked = {}, own = []] = [settings[index], figures[index]];
      const times = own.map(({ milliseconds }) => milliseconds);
      const given = { ...transfer, ...asked };
      return way === undefined ? [] : [{ asked, point: pointOf(this.work, given, way, times), times }];
    });
  }
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
