import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { QmpArgument } from '../qmp/json.ts';

/** Migration capabilities and parameters of a QEMU: all of them, or some. */
export interface Settings {
  readonly capabilities: ReadonlyMap<string, boolean>;
  readonly parameters: ReadonlyMap<string, QmpArgument>;
}

/**
 * Asks QEMU for all of its settings.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function querySettings(qmp: QmpClient, wait: WaitOptions): Promise<Settings> {
  const [states, parameters] = await Promise.all([
    qmp.execute('query-migrate-capabilities', undefined, wait),
    qmp.execute('query-migrate-parameters', undefined, wait),
  ]);
  return {
    capabilities: new Map(states.map(({ capability, state }): [string, boolean] => [capability, state])),
    parameters: new Map(Object.entries(parameters)),
  };
}
