import type { Plan } from './plan.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpArgument } from '../qmp/json.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';
import { untilFinalized } from '../qemu/until-finalized.ts';
import type { WaitOptions } from '../host/wait-within.ts';

const PUT_BACK_MS = 10_000;

/** Capabilities and parameters of a QEMU, some of them. */
export interface Settings {
  readonly capabilities: ReadonlyMap<string, boolean>;
  readonly parameters: ReadonlyMap<string, QmpArgument>;
}

/** Settings that are in force until this is disposed of: then QEMU has exactly what it had before. */
export class AppliedPlan implements AsyncDisposable {
  readonly #qmp: QmpClient;
  #before: Settings | undefined;

  /** @param before what was there instead of what was changed */
  constructor(qmp: QmpClient, before: Settings) {
    this.#qmp = qmp;
    this.#before = before;
  }

  /**
   * Puts back what was changed, when QEMU has cleared up behind a migration that may still be ending. Does nothing when
   * QEMU is gone, or the second time.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses
   */
  async putBack(): Promise<void> {
    const before = this.#before;
    this.#before = undefined;
    if (before === undefined) return;
    try {
      await putBackSettings(this.#qmp, before);
    } catch (error) {
      if (isQmpRefusal(error)) throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.putBack();
  }
}

/**
 * Gives QEMU the capabilities and parameters of a plan. When this rejects, QEMU has what it had.
 * `await using applied = await applyPlan(qmp, plan)`.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function applyPlan(
  qmp: QmpClient,
  plan: Plan,
  { timeoutMs, signal }: WaitOptions = {},
): Promise<AppliedPlan> {
  const wait = { timeoutMs, signal };
  const now = await querySettings(qmp, wait);
  const applied = new AppliedPlan(qmp, settingsBefore(now, plan));
  try {
    await change(qmp, now, settingsOf(plan), wait);
    return applied;
  } catch (error) {
    // What it says about this matters less.
    await applied.putBack().catch(() => undefined);
    throw error;
  }
}

/**
 * What a plan will change, as it is now.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function querySettingsBefore(qmp: QmpClient, plan: Plan, wait: WaitOptions): Promise<Settings> {
  return settingsBefore(await querySettings(qmp, wait), plan);
}

/**
 * Gives QEMU settings that it had, when it has cleared up behind a migration that may still be ending.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function putBackSettings(qmp: QmpClient, before: Settings): Promise<void> {
  const wait = { timeoutMs: PUT_BACK_MS };
  await untilFinalized(qmp, wait);
  await change(qmp, await querySettings(qmp, wait), before, wait);
}

function settingsOf({ capabilities, parameters }: Plan): Settings {
  return {
    capabilities: new Map(Object.entries(capabilities)),
    parameters: new Map(Object.entries(parameters)),
  };
}

function settingsBefore(now: Settings, plan: Plan): Settings {
  const wanted = settingsOf(plan);
  // `change` switches mapped-ram off for a moment even when it is to stay on, and may get no further.
  const touched = new Map(wanted.capabilities).set('mapped-ram', !now.capabilities.get('mapped-ram'));
  const parameters = new Map(replaced(now.parameters, wanted.parameters));
  // A save that is cancelled is slowed down before, whatever the plan says of it.
  const bandwidth = now.parameters.get('max-bandwidth');
  if (plan.direction === 'save' && bandwidth !== undefined) parameters.set('max-bandwidth', bandwidth);
  return { capabilities: replaced(now.capabilities, touched), parameters };
}

/** Those of `now` that `wanted` changes. */
function replaced<T>(now: ReadonlyMap<string, T>, wanted: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  return new Map([...now].filter(([name, value]) => wanted.has(name) && wanted.get(name) !== value));
}

/**
 * Brings QEMU from what it has to what is wanted. With mapped-ram on it checks every change of a parameter against the
 * ones it has: one that does not go with mapped-ram locks them all, itself included (docs/format.md §6.2). So parameters
 * change while mapped-ram is off.
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

async function querySettings(qmp: QmpClient, wait: WaitOptions): Promise<Settings> {
  const [states, parameters] = await Promise.all([
    qmp.execute('query-migrate-capabilities', undefined, wait),
    qmp.execute('query-migrate-parameters', undefined, wait),
  ]);
  return {
    capabilities: new Map(states.map(({ capability, state }): [string, boolean] => [capability, state])),
    parameters: new Map(Object.entries(parameters)),
  };
}
