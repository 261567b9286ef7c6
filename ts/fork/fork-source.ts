import type { AnonymousFile } from '../io/anonymous-file.ts';
import { MappedRamError } from '../errors.ts';
import { procPath } from '../io/anonymous-file.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import { holdSnapshot } from '../restore/snapshot-lock.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { streamMachine } from '../stream/write/compose-state.ts';
import { openMappedBase } from './mapped-base.ts';
import { createSlotFile } from './slot-file.ts';
import {
  assertSameMachine,
  type GuestToBe,
  guestToBe,
  querySourceFacts,
  type SourceFacts,
} from './source-facts.ts';

/** Run states out of which QEMU lets no guest run before a reset, or in which there is no guest yet. */
const NOT_TO_FORK: ReadonlySet<string> = new Set(['shutdown', 'internal-error', 'inmigrate']);

/**
 * The form in which clones get their memory. `delta`: the source is a clone itself; its clones map the same snapshot, and
 * each gets a copy of the pages that have changed. `whole`: clones share all of the memory in a file of their own.
 */
export type ForkForm = 'delta' | 'whole';

/** A guest that is to be forked, and the file that its clones map. */
export class ForkSource implements AsyncDisposable {
  readonly qmp: QmpClient;
  readonly form: ForkForm;
  /** What the QEMUs of the clones map: the snapshot that the source maps, or one in memory that is to be filled. */
  readonly mapped: Snapshot;
  /** The file in memory; undefined where the source maps a snapshot. */
  readonly slot: AnonymousFile | undefined;
  /** The guest, for comparison with the QEMUs that wait for it. */
  readonly guest: GuestToBe;
  readonly #facts: SourceFacts;

  private constructor(qmp: QmpClient, mapped: Snapshot, slot: AnonymousFile | undefined, facts: SourceFacts) {
    this.qmp = qmp;
    this.form = slot === undefined ? 'delta' : 'whole';
    this.mapped = mapped;
    this.slot = slot;
    this.guest = guestToBe(facts, mapped);
    this.#facts = facts;
  }

  /**
   * Looks at the guest, and changes nothing.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a guest that cannot be forked: its QEMU does not list its
   *   memory, or its run state is not one to go on from; ERR_MAPPED_RAM_BUSY, ERR_MAPPED_RAM_IO
   */
  static async open(qmp: QmpClient, wait: WaitOptions): Promise<ForkSource> {
    const facts = await querySourceFacts(qmp, wait);
    await assertGoesOn(qmp, wait);
    const base = await openMappedBase(facts.memory, facts.pid, undefined);
    if (base !== undefined) {
      try {
        if (isSameMemory(base, facts)) {
          holdSnapshot(base);
          return new ForkSource(qmp, base, undefined, facts);
        }
      } catch (error) {
        await base.close();
        throw error;
      }
      await base.close();
    }
    const slot = await slotFor(facts);
    try {
      return new ForkSource(qmp, await Snapshot.open({ path: procPath(slot.fd) }), slot, facts);
    } catch (error) {
      await slot.close();
      throw error;
    }
  }

  /**
   * Makes sure that the guest is still the one for which QEMUs wait, and can be forked.
   * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_UNSUPPORTED
   */
  async assertUnchanged(wait: WaitOptions): Promise<void> {
    const [now] = await Promise.all([querySourceFacts(this.qmp, wait), assertGoesOn(this.qmp, wait)]);
    assertSameMachine(this.#facts, now);
  }

  /** Closes the files of this process. QEMUs have what they map. May be called again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.mapped.close();
    await this.slot?.close();
  }
}

/** A block that has grown since the base was saved fits no delta. */
function isSameMemory(base: Snapshot, { machine, memory }: SourceFacts): boolean {
  const { blocks } = base.completeRam();
  return (
    base.index.machine === machine &&
    blocks.length === memory.length &&
    memory.every(({ id, length }) => blocks.some((block) => block.id === id && block.length === length))
  );
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
