import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { defined } from '../../engine/engine-options.ts';
import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState, RoundFigures } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { makeBenchFiles } from '../files.ts';
import { countSyscalls } from '../meter/count-syscalls.ts';
import { pageCacheGrowth } from '../meter/page-cache-growth.ts';
import { lookIntoPageCache } from '../meter/look-into-page-cache.ts';
import type { BenchTransfer, Job, OurWork, TransferWay } from './job.ts';
import { OurWorker } from './worker.ts';

/** Bytes of memory of the work whose system calls every work has. */
const SMALL = 2 ** 20;

export interface OurContenderOptions {
  readonly name: string;
  readonly work: OurWork;
  readonly files: BenchFiles;
  /** The state of the snapshot that a round reads. */
  readonly state: FileState;
  readonly transfer: BenchTransfer;
  /** The directory for a small memory that is written by hand. @default the files' own for memory */
  readonly smallMemoryDirectory?: string | undefined;
  /** A process to work in, which stays the caller's. @default one of its own */
  readonly worker?: OurWorker | undefined;
}

/** One way in which this package does a kind of work, in a process of its own. */
export class OurContender implements Contender {
  readonly name: string;
  readonly program = 'mapped-ram';
  readonly isReference = false;
  readonly #options: OurContenderOptions;
  /** Files that a round makes, and that go with it. */
  readonly #made: readonly string[];
  readonly #worker: OurWorker;
  #job: Job | undefined;
  #way: TransferWay | undefined;

  constructor(options: OurContenderOptions) {
    this.name = options.name;
    this.#options = options;
    // It starts while others have their turn.
    this.#worker = options.worker ?? OurWorker.start(options.work);
    const { directory, memoryDirectory } = options.files;
    this.#made = [join(directory, 'ours.mr'), join(memoryDirectory, 'ours.ram')];
  }

  /** The options that were given; after a round also the way that the pages took. */
  get settings(): Readonly<Record<string, string | number | boolean>> {
    return { ...defined(this.#options.transfer), ...this.#way };
  }

  /** The way that the pages took; undefined before the first round. */
  get way(): TransferWay | undefined {
    return this.#way;
  }

  async prepare(signal: AbortSignal): Promise<void> {
    await this.#worker.ready(signal);
    await this.#removeMade();
    const { work, files, state, transfer } = this.#options;
    const [copy = '', loaded = ''] = this.#made;
    this.#job = {
      work,
      snapshot: work === 'save' ? copy : await putInState(files.snapshot, state, copy, signal),
      memory: work === 'load' ? loaded : files.memory,
      block: files.block,
      state: files.state,
      size: files.size,
      transfer,
      watchesMemory: true,
    };
  }

  async run(signal: AbortSignal): Promise<RoundFigures> {
    const job = this.#prepared();
    const { size, dataBytes } = this.#options.files;
    const growth = await pageCacheGrowth([job.snapshot], lookIntoPageCache);
    const figures = await this.#worker.run(job, signal);
    const pageCacheBytes = await growth.end();
    await this.#removeMade();
    const { milliseconds, cpuMs, peakBytes, idleBytes, requests, way } = figures;
    this.#way = way;
    return {
      milliseconds,
      bytes: size,
      dataBytes,
      cpuMs,
      peakBytes,
      idleBytes,
      pageCacheBytes,
      requests,
    };
  }

  /**
   * Counts the system calls of the work without those of the same work on 1 MiB: opening and closing files, and what
   * Node does by itself, take some hundreds, whatever the size.
   */
  async countSyscalls(signal: AbortSignal): Promise<number | undefined> {
    const job = this.#prepared();
    const fixed = await this.#countSmall(job, signal);
    const calls = await this.#count(job, signal);
    await this.#removeMade();
    const difference = calls === undefined || fixed === undefined ? Number.NaN : calls - fixed;
    // Node's own threads make some tens of calls more or less: of little work nothing is known then.
    return difference > 0 ? difference : undefined;
  }

  async #countSmall(job: Job, signal: AbortSignal): Promise<number | undefined> {
    const { files, smallMemoryDirectory = files.memoryDirectory } = this.#options;
    const places = { directory: files.directory, memoryDirectory: smallMemoryDirectory };
    await using small = await makeBenchFiles({ pattern: 'random', size: SMALL, ...places, signal });
    const { state, size } = small;
    const smallJob = (made: string): Job => ({
      ...job,
      snapshot: job.work === 'save' ? join(small.directory, made) : small.snapshot,
      memory: job.work === 'load' ? join(small.memoryDirectory, made) : small.memory,
      state,
      size,
    });
    // The first job of a process also compiles and loads.
    await this.#worker.run(smallJob('first'), signal);
    return await this.#count(smallJob('second'), signal);
  }

  async #count(job: Job, signal: AbortSignal): Promise<number | undefined> {
    const worker = this.#worker;
    if (worker.pid === undefined) return undefined;
    const { calls } = await countSyscalls(worker.pid, async () => {
      await worker.run({ ...job, watchesMemory: false }, signal);
    });
    return calls;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#options.worker === undefined) await this.#worker[Symbol.asyncDispose]();
    await this.#removeMade();
  }

  #prepared(): Job {
    if (this.#job === undefined) throw new Error(`${this.name} was not prepared`);
    return this.#job;
  }

  /** Files of one contender would take the room of the next one's. */
  async #removeMade(): Promise<void> {
    for (const path of this.#made) await rm(path, { force: true });
  }
}
