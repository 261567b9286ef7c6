import { MappedRamError } from '../errors.ts';
import { AnonymousFile } from '../io/anonymous-file.ts';
import { createMemoryFile } from '../engine/memory-file.ts';
import { disposeAfter } from '../host/dispose-all.ts';
import type { AvailableMemory } from '../host/available-memory.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { SaveAhead } from '../save/ahead/save-ahead.ts';
import { planSaveInto } from '../save/save.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { ForkForm, ForkOptions } from './fork-options.ts';
import { WaitingWatch } from '../qemu/process/waiting-watch.ts';
import type { QmpClient } from '../qmp/client.ts';
import { StreamFile } from '../restore/ahead/stream-file.ts';
import { holdSnapshot } from '../restore/snapshot-lock.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { streamMachine } from '../stream/write/compose-state.ts';
import { nameOfMappedFile } from './mapped-base.ts';
import { MemoryDemand } from './memory-demand.ts';
import { createSlotFile } from './slot-file.ts';
import {
  assertSameMachine,
  type GuestToBe,
  guestToBe,
  queryChangingFacts,
  querySourceFacts,
  type SourceFacts,
} from './source-facts.ts';

/** Run states out of which QEMU lets no guest run before a reset, or in which there is no guest yet. */
const NOT_TO_FORK: ReadonlySet<string> = new Set(['shutdown', 'internal-error', 'inmigrate']);

/**
 * The save of a guest that is taken whole. The guest stands still once and for a short time, rather than run on under
 * KVM while QEMU writes pass after pass: its clones are to be of the moment of the call.
 */
export const WHOLE = { base: 'none', live: false } as const;

/** What errors call the guest, whose snapshot in memory has no name that says anything. */
export const FORKED = 'the guest that is forked';

type SourceOptions = Pick<ForkOptions, 'guard'> & WaitOptions;

/** A guest that is to be forked, and the file that its clones map. */
export class ForkSource implements AsyncDisposable {
  readonly qmp: QmpClient;
  readonly form: ForkForm;
  /** What the QEMUs of the clones map: the snapshot that the source maps, or one in memory that is to be filled. */
  readonly mapped: Snapshot;
  /** The file in memory that the guest is saved into: `mapped`, or what differs from it. */
  readonly into: AnonymousFile;
  /** The file in memory for the state that all clones load. */
  readonly stream: StreamFile;
  /** What the save of the guest has before it is called. */
  readonly ahead: SaveAhead;
  /** The guest, for comparison with the QEMUs that wait for it. */
  readonly guest: GuestToBe;
  /** Ends the QEMUs that wait, should this process be killed. */
  readonly watch: WaitingWatch;
  readonly #facts: SourceFacts;
  readonly #demand: MemoryDemand;

  private constructor(
    qmp: QmpClient,
    form: ForkForm,
    { mapped, into, ahead, stream }: Pick<ForkSource, 'mapped' | 'into' | 'ahead' | 'stream'>,
    facts: SourceFacts,
    demand: MemoryDemand,
  ) {
    this.#demand = demand;
    this.qmp = qmp;
    this.form = form;
    this.mapped = mapped;
    this.into = into;
    this.ahead = ahead;
    this.stream = stream;
    this.guest = guestToBe(facts, mapped);
    this.#facts = facts;
    this.watch = WaitingWatch.start();
  }

  /**
   * Looks at the guest, and changes nothing.
   * @param available tells how much memory is left, for tests
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a guest that cannot be forked: its QEMU does not list its
   *   memory, or its run state is not one to go on from; ERR_MAPPED_RAM_BUSY, ERR_MAPPED_RAM_IO; as `planSaveInto`
   */
  static async open(
    qmp: QmpClient,
    options: SourceOptions,
    available?: () => AvailableMemory | undefined,
  ): Promise<ForkSource> {
    const { signal, timeoutMs } = options;
    const wait = { signal, timeoutMs };
    const facts = await querySourceFacts(qmp, wait);
    await assertGoesOn(qmp, wait);
    const name = await nameOfMappedFile(facts);
    const delta = new AnonymousFile(await createMemoryFile('mapped-ram-fork-delta'), 'memory');
    const based =
      name === undefined ? undefined : await planOn(qmp, name, delta, options).catch(closing(delta));
    const base = based?.base.value;
    if (based !== undefined && base !== undefined) {
      const mapped = await Snapshot.open({ path: base }).catch(closing(delta));
      try {
        holdSnapshot(mapped);
        const demand = new MemoryDemand(qmp, 'delta', available);
        await demand.assertFits(wait);
        const stream = await StreamFile.create([], true);
        const ahead = await SaveAhead.of(qmp, based, mapped, wait).catch(closing(stream));
        return new ForkSource(qmp, 'delta', { mapped, into: delta, ahead, stream }, facts, demand);
      } catch (error) {
        throw await disposeAfter(error, [delta, mapped]);
      }
    }
    await delta.close();
    const demand = new MemoryDemand(qmp, 'whole', available);
    await demand.assertFits(wait);
    const slot = await slotFor(facts);
    let mapped: Snapshot | undefined;
    try {
      const plan = await planSaveInto(qmp, slot.fd, { ...wait, guard: options.guard, ...WHOLE });
      mapped = await Snapshot.openAs(FORKED, slot.procPath);
      const stream = await StreamFile.create([], true);
      const ahead = await SaveAhead.of(qmp, plan, undefined, wait).catch(closing(stream));
      return new ForkSource(qmp, 'whole', { mapped, into: slot, ahead, stream }, facts, demand);
    } catch (error) {
      throw await disposeAfter(error, [slot, mapped]);
    }
  }

  /**
   * Makes sure that the guest is still the one for which QEMUs wait, can be forked, and has the memory for it.
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_IO
   */
  async assertUnchanged(wait: WaitOptions): Promise<void> {
    const [now] = await Promise.all([
      queryChangingFacts(this.qmp, wait),
      assertGoesOn(this.qmp, wait),
      this.#demand.assertFits(wait),
    ]);
    assertSameMachine(this.#facts, now);
  }

  /** Closes the files of this process. QEMUs have what they map. May be called again. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.ahead[Symbol.dispose]();
    await this.watch[Symbol.asyncDispose]();
    await this.mapped.close();
    await this.into.close();
    await this.stream.close();
  }
}

function closing(file: AsyncDisposable): (error: unknown) => Promise<never> {
  return async (error) => {
    throw await disposeAfter(error, [file]);
  };
}

/**
 * Asks whether the guest can be taken as what differs from the snapshot that it maps.
 * @returns the plan for it; undefined when the guest has to be taken whole
 */
async function planOn(
  qmp: QmpClient,
  name: string,
  delta: AnonymousFile,
  options: SourceOptions,
): Promise<SavePlan | undefined> {
  const { guard, signal, timeoutMs } = options;
  const wanted = { base: name, form: 'delta', guard, signal, timeoutMs } as const;
  try {
    return await planSaveInto(qmp, delta.fd, wanted);
  } catch (error) {
    // The guest is no clone, or its memory cannot be read here.
    if (error instanceof MappedRamError && error.rule !== undefined) return undefined;
    throw error;
  }
}

async function slotFor({ machine, target, memory }: SourceFacts): Promise<AnonymousFile> {
  if (machine !== undefined && target !== undefined && memory.length > 0) {
    const blocks = memory.map(({ id, length }) => ({ id, length }));
    return createSlotFile(streamMachine({ machine, target }), blocks);
  }
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    'the guest cannot be forked: its QEMU does not list its memory',
  );
}

async function assertGoesOn(qmp: QmpClient, wait: WaitOptions): Promise<void> {
  const { status } = await qmp.execute('query-status', undefined, wait);
  if (!NOT_TO_FORK.has(status)) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `the guest cannot be forked: its state is ${status}, out of which no clone could go on`,
  );
}
