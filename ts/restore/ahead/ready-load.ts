import { disposeAll } from '../../host/dispose-all.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import { applyPlan, type PlanSettings } from '../../negotiate/apply-plan.ts';
import { negotiate } from '../../negotiate/negotiate.ts';
import type { RestorePlan } from '../../negotiate/plan.ts';
import type { RestoreRequest } from '../../negotiate/request.ts';
import { giveFile, type GivenFile } from '../../qemu/given-file.ts';
import { migrateIn } from '../../qemu/migration.ts';
import type { QemuFacts } from '../../qemu/qemu-facts.ts';
import type { QmpClient } from '../../qmp/client.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { FileMigrationAddress } from '../../uri/migration-address.ts';
import { type AfterRestore, setAutostart, settle } from '../run-state.ts';

/** The file that QEMU is to read: its name, and the way to open it when QEMU gets a descriptor. */
export interface LoadSource {
  readonly address: FileMigrationAddress;
  readonly path: string;
}

/** A QEMU that is to load a file. */
export interface ReadyLoadOptions extends WaitOptions {
  readonly qmp: QmpClient;
  readonly facts: QemuFacts;
  readonly snapshot: Snapshot;
  readonly source: LoadSource;
  readonly features: Pick<RestoreRequest, 'reader' | 'fdset' | 'multifd' | 'channels' | 'directIo'>;
  readonly after: AfterRestore;
  /** True when QEMU is not to start the guest by itself; see `LoadRun`. */
  readonly heldBack: boolean;
}

/** A load that has ended. */
export interface LoadEnd {
  readonly runState: string;
  /** Milliseconds from the command that starts the load to the guest in the state asked for. */
  readonly loadMs: number;
  /** Time at which the guest was in that state, by `performance.now()`. */
  readonly readyAt: number;
}

/**
 * A QEMU that has all that a load takes: settings, the file, and the word whether to start the guest. The content of the
 * file may come later. Disposal takes file and settings back, and can wait until the guest runs.
 */
export class ReadyLoad implements AsyncDisposable {
  readonly plan: RestorePlan;
  readonly #options: ReadyLoadOptions;
  readonly #applied: PlanSettings;
  readonly #given: GivenFile | undefined;

  private constructor(
    options: ReadyLoadOptions,
    plan: RestorePlan,
    applied: PlanSettings,
    given: GivenFile | undefined,
  ) {
    this.plan = plan;
    this.#options = options;
    this.#applied = applied;
    this.#given = given;
  }

  /**
   * Works the plan out, and gives QEMU what it needs. When this rejects, QEMU has what it had before.
   * @throws {MappedRamError} as `negotiate`, `applyPlan` and `giveFile`
   */
  static async make(options: ReadyLoadOptions): Promise<ReadyLoad> {
    const { qmp, facts, snapshot, source, features, after, heldBack, timeoutMs, signal } = options;
    const wait = { timeoutMs, signal };
    const request = { direction: 'restore', target: source.address, snapshot, ...features } as const;
    const plan = await negotiate(qmp, request, { ...wait, facts });
    const applied = await applyPlan(qmp, plan, wait);
    let given: GivenFile | undefined;
    try {
      const { path, address } = source;
      const direct = plan.directIo.value;
      const file = { path, offset: address.offset, access: 'read', direct, ...wait } as const;
      const opensHere = plan.fdset.value;
      given = opensHere ? await giveFile(qmp, plan.qemu.features, opensHere, file) : undefined;
      await setAutostart(qmp, heldBack ? 'stop' : after, wait);
      return new ReadyLoad(options, plan, applied, given);
    } catch (error) {
      await takeBack(given, applied).catch(() => undefined);
      throw error;
    }
  }

  /** The doubts of the plan, in words. */
  get warnings(): readonly string[] {
    return this.plan.notes.map(({ words }) => words);
  }

  /** Lets QEMU load, once. @throws {MappedRamError} as `migrateIn` and `settle` */
  async load(wait: WaitOptions): Promise<LoadEnd> {
    const { qmp, after } = this.#options;
    const startedAt = performance.now();
    await migrateIn(qmp, this.#given?.address ?? this.plan.target.address, wait);
    const { runState, readyAt } = await settle(qmp, after, wait);
    return { runState, readyAt, loadMs: readyAt - startedAt };
  }

  /** Takes the file and the settings back, if QEMU lets us. May be called again. */
  async [Symbol.asyncDispose](): Promise<void> {
    await takeBack(this.#given, this.#applied);
  }
}

async function takeBack(given: GivenFile | undefined, applied: PlanSettings): Promise<void> {
  await disposeAll([given]);
  // The error of a failed load says more than QEMU's refusal to change settings now.
  await applied.putBack().catch(() => undefined);
}
