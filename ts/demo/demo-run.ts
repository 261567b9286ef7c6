import type { TransferReport } from '../engine/transfer-options.ts';
import { MappedRamError } from '../errors.ts';
import type { UnpackResult } from '../pack/unpack.ts';
import { compareFiles } from './compare-files.ts';
import type { DemoCheck, DemoOptions, DemoResult } from './demo-options.ts';
import type { DemoPlaces } from './demo-places.ts';
import { Scratch } from '../io/scratch.ts';

/** The measurements of a demo. */
export type DemoMeasures = Pick<DemoResult, 'save' | 'load'> &
  Partial<Pick<DemoResult, 'qemuLoadMs' | 'generation'>>;

/** The places, steps and findings of a demo, of either kind. */
export class DemoRun implements AsyncDisposable {
  readonly places: DemoPlaces;
  /** The directory for the guest's memory. */
  readonly memory: Scratch;
  /** The directory for the snapshot. */
  readonly disk: Scratch;
  readonly signal: AbortSignal | undefined;
  readonly #onStep: DemoOptions['onStep'];
  readonly #checks: DemoCheck[] = [];

  private constructor(places: DemoPlaces, memory: Scratch, disk: Scratch, options: DemoOptions) {
    this.places = places;
    this.memory = memory;
    this.disk = disk;
    this.signal = options.signal;
    this.#onStep = options.onStep;
  }

  static async create(places: DemoPlaces, options: DemoOptions): Promise<DemoRun> {
    const memory = await Scratch.create(places.memoryDirectory, 'mapped-ram-demo-');
    try {
      return new DemoRun(
        places,
        memory,
        await Scratch.create(places.snapshotDirectory, 'mapped-ram-demo-'),
        options,
      );
    } catch (error) {
      await memory[Symbol.asyncDispose]();
      throw error;
    }
  }

  get checks(): readonly DemoCheck[] {
    return this.#checks;
  }

  /** Runs a step, and reports it. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    this.signal?.throwIfAborted();
    const startedAt = performance.now();
    this.#onStep?.({ title, elapsedMs: undefined });
    const result = await work();
    this.#onStep?.({ title, elapsedMs: performance.now() - startedAt });
    return result;
  }

  /** Records the comparison of two memory files, byte for byte. */
  async checkSame(title: string, left: string, right: string): Promise<void> {
    const offset = await compareFiles(left, right, this.places.size, this.signal);
    const difference = offset === undefined ? undefined : `different from byte ${offset} on`;
    this.check(title, difference);
  }

  /** Records a check; it passed when there is no difference. */
  check(title: string, difference: string | undefined): void {
    this.#checks.push({ title, verified: difference === undefined, difference });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.memory[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
  }
}

/** Returns the report of an unpack that included RAM. */
export function transferOf({ transfer, path }: UnpackResult): TransferReport {
  if (transfer !== undefined) return transfer;
  throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'RAM was unpacked without a transfer', { path });
}
