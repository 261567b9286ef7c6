import { access, constants } from 'node:fs/promises';
import { resolve } from 'node:path';

import { defined } from '../engine/engine-options.ts';
import { probe } from '../engine/probe.ts';
import { assertDirectory } from '../host/filesystem.ts';
import { ioError } from '../io/fd-io.ts';
import { removeAbandonedFolders } from './abandoned-folders.ts';
import {
  type BenchOptions,
  checkedBenchOptions,
  type CheckedBenchOptions,
  plannedResults,
} from './bench-options.ts';
import { assertChoices } from './choices.ts';
import type { BenchFiles, Contender, ContenderSet } from './contender.ts';
import type { BenchWork, FileState } from './figures.ts';
import { makeBenchFiles } from './files.ts';
import { hugePagePlaces } from './ours/huge-pages.ts';
import { machineFacts } from './machine.ts';
import {
  REPORT_VERSION,
  type BenchReport,
  type BenchResult,
  type BenchSettings,
  type BenchSweep,
  type SkippedBench,
} from './report.ts';
import { assertRoom } from './room.ts';
import { runRounds } from './rounds.ts';
import { sizeInWords } from './report-words.ts';
import { summarize } from './summary.ts';
import { runSweep } from './sweep/run-sweep.ts';
import { CONTENDERS } from './works.ts';

const MEMORY_DIRECTORY = '/dev/shm';

/**
 * Measures how fast this package saves, loads, verifies, compares and restores on a disk, against fio, a plain copy and
 * QEMU itself, in alternating rounds after one that warms up. Other programs take part where they are installed. Files
 * of up to four times the size lie in the directory meanwhile, of twice the size in /dev/shm, and of the size in a
 * hugetlbfs that is mounted and has room for twice of it. Several sizes follow one another. Nothing is left behind,
 * neither files nor processes; what a killed bench has left in these places goes, too.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for an option, and a `qemu` that cannot take part;
 * ERR_MAPPED_RAM_ENGINE_UNAVAILABLE and ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE for an I/O engine and direct I/O that were
 * asked for and are not to be had; ERR_MAPPED_RAM_IO when there is no such directory, or no room in it or in memory, or it
 * cannot be written to; with the code of its error when a contender fails, whose name the words have; the signal's reason
 */
export async function bench(options: BenchOptions = {}): Promise<BenchReport> {
  const startedAt = new Date().toISOString();
  const start = performance.now();
  const checked = checkedBenchOptions(options);
  const { directory, signal, qemu, memory, sizes } = { ...checked, directory: resolve(checked.directory) };
  signal.throwIfAborted();
  await assertDirectory(directory);
  await assertDirectory(MEMORY_DIRECTORY);
  await assertWritable(directory);
  await assertChoices(checked, directory);
  const hugePages = (await hugePagePlaces()).map(({ path }) => path);
  const gone = await removeAbandonedFolders([directory, MEMORY_DIRECTORY, ...hugePages]);
  if (gone.length > 0) checked.onProgress({ title: `removed what a killed bench left: ${gone.join(', ')}` });
  await assertRoom(checked, MEMORY_DIRECTORY);
  const machine = await machineFacts(directory, qemu, signal);
  const results: BenchResult[] = [];
  const skipped = new Map<string, SkippedBench>();
  let sweep: BenchSweep | undefined;
  for (const [size, pattern] of sizes.flatMap((one) => memory.map((content) => [one, content] as const))) {
    checked.onProgress({ title: titleOf(['make files', pattern], size, checked) });
    const places = { directory, memoryDirectory: MEMORY_DIRECTORY };
    await using files = await makeBenchFiles({ ...places, pattern, size, signal });
    for (const { work, file } of plannedResults({ ...checked, sizes: [size], memory: [pattern] })) {
      const { result, left } = await compete(work, file, files, checked);
      if (result !== undefined) results.push(result);
      for (const one of left) skipped.set(`${size} ${one.work} ${one.name}`, one);
    }
    if (checked.sweep && sweep === undefined)
      sweep = await runSweep(files, checked, probe(directory).ioUring.available);
  }
  return {
    schemaVersion: REPORT_VERSION,
    startedAt,
    elapsedMs: performance.now() - start,
    machine,
    settings: settingsOf(checked, directory),
    results,
    skipped: [...skipped.values()],
    sweep,
  };
}

async function assertWritable(directory: string): Promise<void> {
  await access(directory, constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw ioError('the directory to be measured cannot be written to', directory, cause);
  });
}

interface Competition {
  readonly result: BenchResult | undefined;
  readonly left: readonly SkippedBench[];
}

/** Lets all contenders of a kind of work compete, with the file in one state. */
async function compete(
  work: BenchWork,
  state: FileState,
  files: BenchFiles,
  options: CheckedBenchOptions,
): Promise<Competition> {
  const { signal, rounds, onProgress } = options;
  const { pattern, size } = files;
  const title = titleOf(work === 'save' ? [work, pattern] : [work, pattern, state], size, options);
  await using field = new Field();
  for (const make of CONTENDERS[work]) field.add(await make(options)(files, state, signal));
  const left = field.skipped.map((one) => ({ size, work, ...one }));
  if (field.contenders.length === 0) return { result: undefined, left };
  const { figures, otherProcessors } = await runRounds(field.contenders, {
    rounds,
    title,
    countsSyscalls: true,
    signal,
    onTurn: (turn) => onProgress({ title, ...turn }),
  });
  const contenders = field.contenders.map(({ name, program, isReference, settings }, index) => {
    const own = figures[index] ?? [];
    return { name, program, isReference, settings, rounds: own, summary: summarize(own, work !== 'restore') };
  });
  return { result: { size, work, memory: pattern, file: state, otherProcessors, contenders }, left };
}

/** The contenders of one kind of work, from all who make some. */
class Field implements AsyncDisposable {
  readonly contenders: Contender[] = [];
  readonly skipped: ContenderSet['skipped'][number][] = [];

  add({ contenders, skipped }: ContenderSet): void {
    this.contenders.push(...contenders);
    this.skipped.push(...skipped);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = await Promise.allSettled(this.contenders.map((one) => one[Symbol.asyncDispose]()));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  }
}

/** The title of a part of the bench. The only size would tell nothing. */
function titleOf(parts: readonly string[], size: number, { sizes }: CheckedBenchOptions): string {
  return parts.concat(sizes.length === 1 ? [] : [sizeInWords(size)]).join(', ');
}

function settingsOf({ sizes, rounds, transfer }: CheckedBenchOptions, directory: string): BenchSettings {
  return { directory, sizes, rounds, transfer: defined(transfer) };
}
