import { MappedRamError } from '../errors.ts';
import type { Contender } from './contender.ts';
import type { RoundFigures } from './figures.ts';
import { OtherLoad } from './meter/other-load.ts';

export interface RoundsOptions {
  /** Rounds that count, 1 or more; one more warms up, before them. */
  readonly rounds: number;
  /** The work in words, for errors: `save, random`. */
  readonly title: string;
  /** True to count system calls in the round that warms up. */
  readonly countsSyscalls: boolean;
  readonly signal: AbortSignal;
  /** Called after every turn of a contender. */
  readonly onTurn?: ((turn: Turn) => void) | undefined;
}

/** What came of the rounds that count. */
export interface RoundsOutcome {
  /** The figures of each contender, in the contenders' order, one per round. */
  readonly figures: readonly (readonly RoundFigures[])[];
  /** The processors that other programs kept busy meanwhile, on average; undefined where that cannot be known. */
  readonly otherProcessors: number | undefined;
}

/** A turn that a contender has had. */
export interface Turn {
  readonly contender: string;
  /** 1 or more; 0 for the round that warms up, in which system calls are counted. */
  readonly round: number;
  /** Milliseconds; undefined where the turn was not timed. */
  readonly milliseconds: number | undefined;
}

/**
 * Lets contenders take turns: one round to warm up, in which system calls are counted, then the rounds that count. Other
 * work on the machine meets all contenders of a round alike, and the order changes from round to round, so that none
 * always follows the same one.
 *
 * @throws {MappedRamError} naming the contender that failed, with its error as the cause; the signal's reason
 */
export async function runRounds(
  contenders: readonly Contender[],
  options: RoundsOptions,
): Promise<RoundsOutcome> {
  const { rounds, signal, onTurn } = options;
  const calls = new Map<Contender, number>();
  for (const contender of orderOf(contenders, 0)) {
    const { syscalls, milliseconds } = await warmUp(contender, options);
    if (syscalls !== undefined) calls.set(contender, syscalls);
    onTurn?.({ contender: contender.name, round: 0, milliseconds });
  }
  const figures = new Map<Contender, RoundFigures[]>(contenders.map((contender) => [contender, []]));
  const load = new OtherLoad();
  for (let round = 1; round <= rounds; round += 1) {
    for (const contender of orderOf(contenders, round)) {
      const turn = await attempt(contender, options, () =>
        load.during(
          () => contender.run(signal),
          ({ cpuMs }) => cpuMs,
          contender.isMeteredHere,
        ),
      );
      const syscalls = calls.get(contender);
      figures.get(contender)?.push(syscalls === undefined ? turn : { ...turn, syscalls });
      onTurn?.({ contender: contender.name, round, milliseconds: turn.milliseconds });
    }
  }
  return { figures: [...figures.values()], otherProcessors: load.processors };
}

/**
 * The order of a round: every other one is the one before backwards, and each pair of rounds begins one contender later.
 * Over twice as many rounds as contenders, each is first and last alike often.
 */
export function orderOf<T>(contenders: readonly T[], round: number): readonly T[] {
  const first = Math.floor(round / 2) % Math.max(contenders.length, 1);
  const rotated = [...contenders.slice(first), ...contenders.slice(0, first)];
  return round % 2 === 0 ? rotated : rotated.toReversed();
}

/** Does the work once, and counts its system calls where that is wanted and possible. */
async function warmUp(
  contender: Contender,
  options: RoundsOptions,
): Promise<Partial<Pick<RoundFigures, 'syscalls' | 'milliseconds'>>> {
  const { countsSyscalls, signal } = options;
  return attempt(contender, options, async () =>
    countsSyscalls && contender.countSyscalls !== undefined
      ? { syscalls: await contender.countSyscalls(signal) }
      : contender.run(signal),
  );
}

/** Prepares a contender, and lets it do its work. */
async function attempt<T>(
  contender: Contender,
  { title, signal }: RoundsOptions,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  try {
    await contender.prepare(signal);
    signal.throwIfAborted();
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof MappedRamError ? error.code : 'ERR_MAPPED_RAM_INTERNAL';
    throw new MappedRamError(code, `${title}: ${contender.name} failed`, { cause: error });
  }
}
