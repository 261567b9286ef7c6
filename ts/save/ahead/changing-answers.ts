import type { WaitOptions } from '../../host/wait-within.ts';
import { queryDiskUsers } from '../../qemu/disk-users.ts';
import { queryRamBlocks } from '../../qemu/memory/query-ram-blocks.ts';
import { querySettings } from '../../qemu/settings.ts';
import { queryLiveState } from '../../qemu/state/live-state.ts';
import type { QmpClient } from '../../qmp/client.ts';

/**
 * QEMU's answers to all questions on which the plan of a capture stands and whose answers can change while QEMU lives, as
 * one text. They are asked at once, which takes a millisecond or two.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function changingAnswers(qmp: QmpClient, wait: WaitOptions): Promise<string> {
  const [{ status: runState }, migration, { capabilities, parameters }, rows, live, users] =
    await Promise.all([
      qmp.execute('query-status', undefined, wait),
      qmp.execute('query-migrate', undefined, wait),
      querySettings(qmp, wait),
      queryRamBlocks(qmp, wait),
      queryLiveState(qmp, wait),
      queryDiskUsers(qmp, wait),
    ]);
  const { status, 'blocked-reasons': blocked = [] } = migration;
  const settings = [...capabilities, ...parameters];
  return JSON.stringify([runState, status, blocked, settings, rows, live, users], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}
