import { MappedRamError, messageOf, systemCode } from '../errors.ts';
import type { Switch } from '../negotiate/request.ts';
import { QmpClient } from '../qmp/client.ts';
import { waitWithin, type WaitOptions } from '../host/wait-within.ts';
import { Guard, startGuard } from './guard.ts';
import { type Goal, type Recovery, recover, recoverAtLast } from './recovery.ts';

/**
 * Limit in milliseconds for a QEMU that does not answer. After that, the save leaves bringing it back to the
 * background.
 */
const PATIENCE_MS = 10_000;
/** Limit in milliseconds for a QEMU that has lost a connection to accept the next. */
const RECONNECT_MS = 10_000;

/** The facts of a failure that is no MappedRamError, such as an abort. */
const UNKNOWN: Pick<MappedRamError, 'code' | 'qmp' | 'rule' | 'migration'> = { code: 'ERR_MAPPED_RAM_QEMU' };

/** Clients whose QEMU is being brought back in the background. */
const inBackground = new WeakSet<QmpClient>();

/** True while an earlier save is still bringing this QEMU back, which does not answer. */
export function isBeingBroughtBack(qmp: QmpClient): boolean {
  return inBackground.has(qmp);
}

/** Makes sure that QEMU gets where it is to be after a save, whatever becomes of the connection or of this process. */
export class Protection {
  readonly #qmp: QmpClient;
  readonly #guard: Guard | undefined;
  readonly #why: string | undefined;
  #recovery: Recovery | undefined;
  #isLetGo = false;
  #isOver = false;
  #isQemuGone = false;

  private constructor(qmp: QmpClient, guard: Guard | string | undefined) {
    this.#qmp = qmp;
    this.#guard = guard instanceof Guard ? guard : undefined;
    this.#why = typeof guard === 'string' ? guard : undefined;
  }

  /**
   * Starts the protection. Call it before anything is changed in QEMU.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the caller asked for a guard and none can be had; the
   * signal's reason; as {@link QmpClient.execute} when the connection is lost
   */
  static async start(qmp: QmpClient, wanted: Switch, wait: WaitOptions): Promise<Protection> {
    const started = wanted === 'off' ? undefined : await startGuard(qmp, wait);
    if (typeof started === 'string' && wanted === 'on') {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `a guard cannot be had: ${started}`);
    }
    // A connection that was lost meanwhile is no reason to do without a guard: nothing is to be changed any more.
    if (typeof started === 'string') await qmp.execute('query-status', undefined, wait);
    return new Protection(qmp, started);
  }

  /** Lists in words the parts that are not protected, until the protection is released. */
  get warnings(): readonly string[] {
    const why = this.#guard?.isAlive === false ? 'it was killed' : this.#why;
    return why === undefined
      ? []
      : [`no guard (${why}): if this process had been killed, the guest would have stood still`];
  }

  /** Tells whether QEMU is gone, after a question to it has failed. */
  async isQemuGone(): Promise<boolean> {
    const { isOpen, server, pid } = this.#qmp;
    if (this.#isQemuGone || isOpen) return this.#isQemuGone;
    if (pid !== undefined || server === undefined) return isQemuGone(this.#qmp, undefined);
    try {
      await using _ = await QmpClient.connect(server, { timeoutMs: RECONNECT_MS });
      return false;
    } catch (error) {
      return isQemuGone(this.#qmp, error);
    }
  }

  /** Sets the goal to which QEMU is brought from now on, for the guard, too. */
  async aim(recovery: Recovery): Promise<void> {
    this.#recovery = recovery;
    await this.#guard?.tell(recovery);
  }

  /**
   * Leaves the guest to its owner, who sees it run, or has stopped it: it is found stopped at the end, if anybody stops it.
   * @param isOwners false to take it back: its owner lets it run again, and the save stops it
   */
  async letGo(isOwners = true): Promise<void> {
    this.#isLetGo = isOwners;
    if (this.#recovery?.goal === undefined) return;
    await this.aim({ ...this.#recovery, goal: { ...this.#recovery.goal, runs: !isOwners } });
  }

  /**
   * Brings QEMU back after the save has failed. A second time does nothing.
   * @returns the error of the save, with further failures
   */
  async recover(reason: unknown): Promise<unknown> {
    if (this.#isOver) return reason;
    this.#isOver = true;
    const problem = await this.#bringBack();
    if (problem === undefined) return reason;
    const { code, qmp, rule, migration } = reason instanceof MappedRamError ? reason : UNKNOWN;
    const why = messageOf(problem);
    return new MappedRamError(
      code,
      `${messageOf(reason)}; and QEMU could not be brought back to where it was (${why}): the guest may stand still`,
      { qmp, rule, migration, cause: reason, tellsCause: true },
    );
  }

  /**
   * Brings QEMU to its final state after the save has worked. A guest that was let go stays what its owner has made of it.
   * @returns the obstacle, when QEMU did not get there
   */
  async finish(goal: Goal): Promise<unknown> {
    const left = this.#isLetGo ? { ...goal, runs: false } : goal;
    if (this.#recovery !== undefined) await this.aim({ ...this.#recovery, goal: left });
    return this.#bringBack();
  }

  /** Ends the protection: there is nothing left to bring back. */
  async release(): Promise<void> {
    await this.#guard?.release();
  }

  /** @returns the error that kept QEMU from being brought back; nothing when QEMU is back, or gone */
  async #bringBack(): Promise<unknown> {
    const recovery = this.#recovery;
    if (recovery === undefined) {
      await this.release();
      return undefined;
    }
    try {
      if (this.#qmp.isOpen && (await this.#overOwnConnection(recovery))) return undefined;
      await this.#overAnother(recovery);
      return undefined;
    } catch (error) {
      this.#isQemuGone = isQemuGone(this.#qmp, error);
      return this.#isQemuGone ? undefined : error;
    }
  }

  /** @returns false when the connection was lost meanwhile */
  async #overOwnConnection(recovery: Recovery): Promise<boolean> {
    const qmp = this.#qmp;
    let isLate = false;
    const recovering = recoverAtLast(qmp, recovery);
    try {
      await waitWithin(recovering, { timeoutMs: PATIENCE_MS }, () => {
        isLate = true;
        return notYet('it is brought back');
      });
    } catch (error) {
      if (isLate) {
        void this.#inBackground(recovering);
        throw error;
      }
      if (!qmp.isOpen) return false;
      await this.release();
      throw error;
    }
    await this.release();
    return true;
  }

  async #inBackground(recovering: Promise<void>): Promise<void> {
    inBackground.add(this.#qmp);
    try {
      await recovering;
      await this.release();
    } catch {
      // Somebody closed the connection, and leaves the rest to the guard.
      await this.#guard?.recover(0);
    } finally {
      inBackground.delete(this.#qmp);
    }
  }

  /** @throws the error that kept QEMU from being brought back */
  async #overAnother(recovery: Recovery): Promise<void> {
    // The guard has the connection, too: it may be lost only for this side. While the guard lives, QEMU takes no other.
    const recovered = await this.#guard?.recover(PATIENCE_MS);
    if (recovered === true) return;
    if (recovered === 'late') throw notYet('the guard brings it back');
    const { server, pid } = this.#qmp;
    // The only thing left to do without an address is to report the state of the connection.
    if (server === undefined) throw await this.#qmp.execute('query-status').catch((error: unknown) => error);
    await using again = await QmpClient.connect(server, { timeoutMs: RECONNECT_MS, pid });
    await recover(again, recovery);
  }
}

function notYet(then: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `it does not answer; as soon as it does, ${then}`);
}

/** True when QEMU is gone, so that there is nothing left to bring back. */
function isQemuGone({ pid }: QmpClient, problem: unknown): boolean {
  if (pid !== undefined) return !isAlive(pid);
  const code = problem instanceof MappedRamError ? systemCode(problem.cause) : undefined;
  // Both codes mean that nobody listens at the address any more.
  return code === 'ECONNREFUSED' || code === 'ENOENT';
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
