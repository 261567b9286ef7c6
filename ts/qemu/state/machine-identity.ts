import type { WaitOptions } from '../../host/wait-within.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { answerOf } from '../../qmp/refusal.ts';
import type { MachineFacts } from '../../stream/write/compose-state.ts';

/** The end of the names of machine types in QOM. */
const SUFFIX = '-machine';

/**
 * Asks QEMU which machine it is, in the words of a stream.
 * @returns undefined when QEMU does not tell
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryMachineIdentity(
  qmp: QmpClient,
  wait: WaitOptions = {},
): Promise<Pick<MachineFacts, 'machine' | 'target'> | undefined> {
  const [type, target] = await Promise.all([
    answerOf(qmp.execute('qom-get', { path: '/machine', property: 'type' }, wait)),
    answerOf(qmp.execute('query-target', undefined, wait)),
  ]);
  if (typeof type !== 'string' || !type.endsWith(SUFFIX) || target === undefined) return undefined;
  return { machine: type.slice(0, -SUFFIX.length), target: target.arch };
}
