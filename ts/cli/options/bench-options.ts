import { BENCH_WORKS, FILE_STATES, MEMORY_PATTERNS } from '../../bench/figures.ts';
import { type BenchOptions, MOST_ROUNDS, MOST_SIZES, SMALLEST_BENCH } from '../../bench/bench-options.ts';
import { UsageError } from '../exit-codes.ts';
import type { CommandLine } from './command-line.ts';
import type { OptionDef } from './option-def.ts';
import { parseSize } from './parse-size.ts';
import { TRANSFER_OPTIONS, transferOptions } from './transfer-options.ts';

const MIB = 2 ** 20;
const USUAL_REGRESSION = '10%';

type OwnOption =
  | 'dir'
  | 'size'
  | 'rounds'
  | 'memory'
  | 'file-state'
  | 'work'
  | 'qemu'
  | 'sweep'
  | 'html'
  | 'save-baseline'
  | 'baseline'
  | 'max-regression';

/** The options of `bench`. */
export const BENCH_OPTIONS: Readonly<Record<OwnOption, OptionDef>> & typeof TRANSFER_OPTIONS = {
  dir: {
    type: 'string',
    valueHint: 'directory',
    description: 'The directory on the disk to be measured (default: the current directory)',
  },
  size: {
    type: 'string',
    valueHint: 'list',
    description: `Guest memory, whole MiB, at least 16MiB (default: 1GiB); up to ${MOST_SIZES} sizes with commas between them are measured one after the other`,
  },
  rounds: {
    type: 'string',
    valueHint: 'N',
    description: 'Rounds that count, 1 to 99; one more warms up before them (default: 5)',
  },
  memory: {
    type: 'string',
    valueHint: 'list',
    description: `Contents of guest memory, with commas between them: ${MEMORY_PATTERNS.join(', ')} (default: random)`,
  },
  'file-state': {
    type: 'string',
    valueHint: 'list',
    description: `States in which a round finds the file that it reads: ${FILE_STATES.join(', ')} (default: cold)`,
  },
  work: {
    type: 'string',
    valueHint: 'list',
    description: `Kinds of work: ${BENCH_WORKS.join(', ')} (default: all of them)`,
  },
  qemu: {
    type: 'string',
    valueHint: 'binary',
    description: 'The QEMU to compare with (default: $MAPPED_RAM_QEMU, or qemu-system-… for this machine)',
  },
  sweep: {
    type: 'boolean',
    description:
      'Also try channels, queue depths and request sizes, and say which defaults would be best here',
  },
  html: {
    type: 'string',
    valueHint: 'file',
    description: 'Also write a page with charts, which needs no other file',
  },
  'save-baseline': {
    type: 'string',
    valueHint: 'file',
    description: 'Write the report to compare later runs with',
  },
  baseline: {
    type: 'string',
    valueHint: 'file',
    description:
      'Compare with such a report, by ratios to the references of each run; the exit status is 3 when one is worse',
  },
  'max-regression': {
    type: 'string',
    valueHint: 'P%',
    description: `With --baseline: the loss of speed that is let pass (default: ${USUAL_REGRESSION})`,
  },
  ...TRANSFER_OPTIONS,
};

export type BenchLine = CommandLine<typeof BENCH_OPTIONS>;

/** @throws {UsageError} */
export function benchOptions(line: BenchLine): BenchOptions {
  return {
    directory: line.value('dir'),
    size: sizesOf(line.value('size')),
    rounds: roundsOf(line.value('rounds')),
    memory: list('memory', line.value('memory'), MEMORY_PATTERNS),
    file: list('file-state', line.value('file-state'), FILE_STATES),
    work: list('work', line.value('work'), BENCH_WORKS),
    qemu: line.value('qemu'),
    sweep: line.flag('sweep'),
    transfer: transferOptions(line),
  };
}

/**
 * The loss of speed that is let pass, as a share.
 * @throws {UsageError}
 */
export function maxRegression(line: BenchLine): number {
  const text = line.value('max-regression');
  if (text !== undefined && line.value('baseline') === undefined) {
    throw new UsageError('--max-regression needs --baseline: there is nothing to compare with');
  }
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text ?? USUAL_REGRESSION)?.[1];
  if (percent !== undefined && Number(percent) < 100) return Number(percent) / 100;
  throw new UsageError(`--max-regression must be a percentage from 0% to below 100%, not '${text}'`);
}

function sizesOf(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined;
  const parts = text.split(',');
  if (parts.length > MOST_SIZES) {
    throw new UsageError(`--size takes at most ${MOST_SIZES} sizes, not ${parts.length}`);
  }
  const sizes = parts.map((part) => sizeOf(part));
  const twice = parts.find((_, index) => sizes.indexOf(sizes[index] ?? 0) !== index);
  if (twice === undefined) return sizes;
  throw new UsageError(`--size must not have a size twice: '${twice}'`);
}

function sizeOf(text: string): number {
  const size = parseSize('--size', text);
  if (size >= SMALLEST_BENCH && size % MIB === 0) return size;
  throw new UsageError(`--size must be whole MiB, at least ${SMALLEST_BENCH / MIB}MiB, not '${text}'`);
}

function roundsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const rounds = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (rounds >= 1 && rounds <= MOST_ROUNDS) return rounds;
  throw new UsageError(`--rounds must be a whole number from 1 to ${MOST_ROUNDS}, not '${text}'`);
}

function list<T extends string>(
  option: string,
  text: string | undefined,
  words: readonly T[],
): readonly T[] | undefined {
  return text?.split(',').map((part) => {
    const word = words.find((one) => one === part);
    if (word !== undefined) return word;
    throw new UsageError(`--${option} takes ${words.join(', ')}, with commas between them, not '${part}'`);
  });
}
