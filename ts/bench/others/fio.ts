import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { MappedRamError } from '../../errors.ts';
import { ioError } from '../../io/fd-io.ts';
import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { dataStretch, type DataStretch } from './data-file.ts';
import { foreignContender, type ForeignWork } from './foreign-contender.ts';
import { SHELL_STOP, WaitingProgram } from './waiting-program.ts';

const MIB = 2 ** 20;
const DEPTH = 16;
const COMMON = [
  '--name=job',
  // One process, whose threads can be metered together.
  '--thread',
  `--bs=${MIB}`,
  '--fallocate=none',
  // fio would drop the file from the page cache first.
  '--invalidate=0',
  // Else fio gauges the processor's counter for a tenth of a second at each start.
  '--clocksource=clock_gettime',
  `--exec_prerun=${SHELL_STOP}`,
  `--exec_postrun=${SHELL_STOP}`,
  '--output-format=json',
];

/** The way that fio's bytes go. */
export interface FioWay {
  /** `psync`, which has one request in flight, is for systems without io_uring. */
  readonly ioEngine: 'io_uring' | 'psync';
  readonly isDirect: boolean;
}

/** Writes as many bytes as the memory has data into a file of its length, with fsync at the end. */
export function fioWrite(files: BenchFiles, way: FioWay): Contender {
  const target = join(files.directory, 'fio');
  return fioContender(files, {
    direction: 'write',
    way,
    place: async () => {
      await using file = await open(target, 'wx').catch((cause: unknown) => {
        throw ioError('cannot make the file', target, cause);
      });
      await file.truncate(files.size);
      return { path: target, offset: 0, length: files.dataBytes };
    },
    made: target,
  });
}

/** Reads the data of the snapshot. */
export function fioRead(files: BenchFiles, state: FileState, way: FioWay): Contender {
  const copy = join(files.directory, 'fio.dirty');
  return fioContender(files, {
    direction: 'read',
    way,
    place: async (signal) => {
      const { path, offset, length } = await dataStretch(files, signal);
      return { path: await putInState(path, state, copy, signal), offset, length };
    },
    made: copy,
  });
}

interface FioWork {
  readonly direction: 'read' | 'write';
  readonly way: FioWay;
  readonly place: (signal: AbortSignal) => Promise<DataStretch>;
  /** The file that a round makes and that has to go. */
  readonly made: string;
}

/** The name says where this is not the fastest way that fio has. */
function nameOf({ ioEngine, isDirect }: FioWay): string {
  return ['fio', ...(ioEngine === 'psync' ? ['psync'] : []), ...(isDirect ? [] : ['buffered'])].join(', ');
}

function depthOf({ ioEngine }: FioWay): number {
  return ioEngine === 'psync' ? 1 : DEPTH;
}

function fioContender(files: BenchFiles, work: FioWork): Contender {
  const { way } = work;
  const name = nameOf(way);
  const settings = {
    ioEngine: way.ioEngine,
    directIo: way.isDirect,
    queueDepth: depthOf(way),
    requestSize: MIB,
  };
  return foreignContender({ name, program: 'fio', settings }, files.size, new FioRounds(files, work));
}

class FioRounds implements ForeignWork {
  readonly #folder: string;
  readonly #work: FioWork;
  #program: WaitingProgram | undefined;
  #scratch: string | undefined;
  #place: DataStretch | undefined;

  constructor({ memoryDirectory }: BenchFiles, work: FioWork) {
    this.#folder = memoryDirectory;
    this.#work = work;
  }

  prepare(signal: AbortSignal): Promise<void> {
    return this.#prepare((place) => place, signal);
  }

  /** The shell that stops fio makes a hundred calls and more. */
  prepareNothing(signal: AbortSignal): Promise<void> {
    return this.#prepare((place) => ({ ...place, length: MIB }), signal);
  }

  async #prepare(part: (place: DataStretch) => DataStretch, signal: AbortSignal): Promise<void> {
    await this.clear();
    const place = part(await this.#work.place(signal));
    this.#place = place;
    // fio leaves files with the output of our stops where it runs.
    const scratch = await mkdtemp(join(this.#folder, 'fio-'));
    this.#scratch = scratch;
    const program = new WaitingProgram({
      command: 'fio',
      args: [...COMMON, ...fioPlace(place), ...this.#way()],
      directory: scratch,
      signal,
    });
    this.#program = program;
    await program.untilStopped();
  }

  files(): readonly string[] {
    return this.#place === undefined ? [] : [this.#place.path];
  }

  async run(
    watch: Parameters<ForeignWork['run']>[0],
  ): Promise<{ readonly milliseconds: number; readonly dataBytes: number }> {
    const program = this.#program;
    if (program === undefined) throw new TypeError('run before prepare');
    await watch(program.pid, async () => {
      program.goOn();
      await program.untilStopped();
    });
    program.goOn();
    return fioResult(await program.untilEnd(), this.#work.direction);
  }

  async clear(): Promise<void> {
    await this.#program?.[Symbol.asyncDispose]();
    this.#program = undefined;
    if (this.#scratch !== undefined) await rm(this.#scratch, { recursive: true, force: true });
    await rm(this.#work.made, { force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.clear();
  }

  #way(): readonly string[] {
    const { direction, way } = this.#work;
    return [
      `--rw=${direction}`,
      `--ioengine=${way.ioEngine}`,
      `--iodepth=${depthOf(way)}`,
      `--direct=${way.isDirect ? 1 : 0}`,
      `--end_fsync=${direction === 'write' ? 1 : 0}`,
    ];
  }
}

/** fio takes whole requests only: the last one is made full. */
function fioPlace({ path, offset, length }: DataStretch): readonly string[] {
  // A colon separates several files.
  const filename = path.replaceAll(':', '\\:');
  return [`--filename=${filename}`, `--offset=${offset}`, `--size=${Math.ceil(length / MIB) * MIB}`];
}

/** fio's own account of a job. */
interface FioReport {
  readonly jobs: readonly Readonly<
    Record<'read' | 'write', { readonly runtime: number; readonly io_bytes: number }>
  >[];
}

function fioResult(
  output: string,
  direction: 'read' | 'write',
): { readonly milliseconds: number; readonly dataBytes: number } {
  // Warnings may precede the report.
  const report: FioReport = JSON.parse(output.slice(output.indexOf('{')));
  const { runtime, io_bytes: dataBytes } = report.jobs[0]?.[direction] ?? { runtime: 0, io_bytes: 0 };
  if (dataBytes > 0 && runtime > 0) return { milliseconds: runtime, dataBytes };
  throw new MappedRamError('ERR_MAPPED_RAM_IO', 'fio has moved nothing', { found: `${dataBytes} bytes` });
}
