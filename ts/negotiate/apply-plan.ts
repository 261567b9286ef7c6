import type { WaitOptions } from '../host/wait-within.ts';
import { querySettings, type Settings } from '../qemu/settings.ts';
import { untilFinalized } from '../qemu/until-finalized.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import type { Plan } from './plan.ts';

const PUT_BACK_MS = 10_000;

/** The part of a plan that is set in QEMU. */
type Planned = Pick<Plan, 'direction' | 'capabilities' | 'parameters'>;

/**
 * The changes of a plan to QEMU's settings. `before` is known before the first change, so that another process can put
 * it back, too: the guard of a save, should this process be killed.
 */
export class PlanSettings implements AsyncDisposable {
  /** The settings that the plan changes, with their former values. */
  readonly before: Settings;
  readonly #qmp: QmpClient;
  readonly #now: Settings;
  readonly #wanted: Settings;
  #isChanged = false;

  private constructor(qmp: QmpClient, now: Settings, plan: Planned) {
    this.#qmp = qmp;
    this.#now = now;
    this.#wanted = settingsOf(plan);
    this.before = settingsBefore(now, plan);
  }

  /**
   * Asks QEMU for its settings. Changes nothing.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  static async read(qmp: QmpClient, plan: Planned, wait: WaitOptions): Promise<PlanSettings> {
    return new PlanSettings(qmp, await querySettings(qmp, wait), plan);
  }

  /**
   * Gives QEMU the capabilities and parameters of the plan. When this rejects, QEMU may have some of them.
   * @throws {MappedRamError} as {@link QmpClient.execute}
   */
  async apply(wait: WaitOptions): Promise<void> {
    this.#isChanged = isToChange(this.#now, this.#wanted);
    if (this.#isChanged) await change(this.#qmp, this.#now, this.#wanted, wait);
  }

  /**
   * Puts the former settings back, once QEMU has cleared up behind a migration that may still be ending. Does nothing
   * when the plan changed none, when QEMU is gone, or on a second call.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses
   */
  async putBack(): Promise<void> {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      await putBackSettings(this.#qmp, this.before);
    } catch (error) {
      if (isQmpRefusal(error)) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.putBack();
  }
}

/**
 * Gives QEMU the capabilities and parameters of a plan. When this rejects, QEMU has its former settings. Usage: `await
 * using applied = await applyPlan(qmp, plan)`.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function applyPlan(
  qmp: QmpClient,
  plan: Planned,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<PlanSettings> {
  const wait = { timeoutMs, signal };
  const settings = await PlanSettings.read(qmp, plan, wait);
  try {
    await settings.apply(wait);
    return settings;
  } catch (error) {
    // The first error matters more than QEMU's answer to putting the settings back.
    await settings.putBack().catch(() => undefined);
    throw error;
  }
}

/**
 * Gives QEMU its former settings, once it has cleared up behind a migration that may still be ending.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function putBackSettings(qmp: QmpClient, before: Settings): Promise<void> {
  const wait = { timeoutMs: PUT_BACK_MS };
  await untilFinalized(qmp, wait);
  await change(qmp, await querySettings(qmp, wait), before, wait);
}

function isToChange(now: Settings, wanted: Settings): boolean {
  const differs = [
    changes(now.capabilities, wanted.capabilities),
    changes(now.parameters, wanted.parameters),
  ];
  return differs.some((changed) => changed.length > 0);
}

function settingsOf({ capabilities, parameters }: Planned): Settings {
  return {
    capabilities: new Map(Object.entries(capabilities)),
    parameters: new Map(Object.entries(parameters)),
  };
}

function settingsBefore(now: Settings, plan: Planned): Settings {
  const wanted = settingsOf(plan);
  // `change` switches mapped-ram off for a moment even when it is to stay on, and may get no further.
  const touched = new Map(wanted.capabilities).set('mapped-ram', !now.capabilities.get('mapped-ram'));
  const parameters = new Map(replaced(now.parameters, wanted.parameters));
  // A cancelled save changes max-bandwidth before it cancels, whatever the plan says of that parameter.
  const bandwidth = now.parameters.get('max-bandwidth');
  if (plan.direction === 'save' && bandwidth !== undefined) parameters.set('max-bandwidth', bandwidth);
  return { capabilities: replaced(now.capabilities, touched), parameters };
}

/** Keeps the settings of `now` that `wanted` changes. */
function replaced<T>(now: ReadonlyMap<string, T>, wanted: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return new Map([...now].filter(([name, value]) => wanted.has(name) && wanted.get(name) !== value));
}

/**
 * Brings QEMU from its present settings to the wanted ones. While mapped-ram is on, QEMU checks every change against
 * all of its parameters: one parameter that does not go with mapped-ram locks them all, itself included (docs/format.md
 * §6.2). So parameters change while mapped-ram is off.
 */
async function change(qmp: QmpClient, now: Settings, wanted: Settings, wait: WaitOptions): Promise<void> {
  const capabilities = new Map(changes(now.capabilities, wanted.capabilities));
  const parameters = changes(now.parameters, wanted.parameters);
  if (parameters.length > 0) {
    if (now.capabilities.get('mapped-ram') === true) {
      await setCapabilities(qmp, [['mapped-ram', false]], wait);
      if (capabilities.get('mapped-ram') !== false) capabilities.set('mapped-ram', true);
      else capabilities.delete('mapped-ram');
    }
    await qmp.execute('migrate-set-parameters', Object.fromEntries(parameters), wait);
  }
  if (capabilities.size > 0) await setCapabilities(qmp, [...capabilities], wait);
}

function changes<T>(now: ReadonlyMap<string, T>, wanted: ReadonlyMap<string, T>): (readonly [string, T])[] {
  return [...wanted].filter(([name, value]) => now.get(name) !== value);
}

async function setCapabilities(
  qmp: QmpClient,
  states: readonly (readonly [string, boolean])[],
  wait: WaitOptions,
): Promise<void> {
  const capabilities = states.map(([capability, state]) => ({ capability, state }));
  await qmp.execute('migrate-set-capabilities', { capabilities }, wait);
}
