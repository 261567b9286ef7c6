import type { WaitOptions } from '../../host/wait-within.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpObject } from '../../qmp/json.ts';
import { answerOf } from '../../qmp/refusal.ts';

/** The facts that decide whether QEMU can write its device state alone. */
export interface DeviceStateFacts {
  /** True when QEMU has the command `xen-save-devices-state`, in whose name Xen is history. */
  readonly hasCommand: boolean;
  /** True when this QEMU names devices that it cannot save in `blockedReasons`. QEMU before 6.0 does not. */
  readonly tellsDevices: boolean;
  /** Reasons why this guest cannot be saved, in QEMU's words. */
  readonly blockedReasons: readonly string[];
}

const COMMAND = 'xen-save-devices-state';
/**
 * A command of the release that made query-migrate name devices which QEMU cannot save. Nothing else tells that QEMU
 * would have named one.
 */
const CAME_WITH_REASONS = 'query-yank';

/**
 * Asks QEMU whether it can write its device state alone. Changes nothing.
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryDeviceStateFacts(
  qmp: QmpClient,
  wait: WaitOptions = {},
): Promise<DeviceStateFacts> {
  const [commands, migration] = await Promise.all([
    answerOf(qmp.execute('query-commands', undefined, wait)),
    qmp.execute('query-migrate', undefined, wait),
  ]);
  const names = new Set(
    Array.isArray(commands) ? commands.map((entry) => isQmpObject(entry) && entry['name']) : [],
  );
  return {
    hasCommand: names.has(COMMAND),
    tellsDevices: names.has(CAME_WITH_REASONS),
    blockedReasons: migration['blocked-reasons'] ?? [],
  };
}

/**
 * The reason why QEMU is not to be asked for its device state, in words; undefined when there is none. The command makes
 * none of the checks of a migration: a device that QEMU cannot save makes it crash, or write what no QEMU loads.
 */
export function obstacleTo({
  hasCommand,
  tellsDevices,
  blockedReasons,
}: DeviceStateFacts): string | undefined {
  if (!hasCommand) return `this QEMU has no command ${COMMAND}, which writes device state alone`;
  if (blockedReasons.length > 0) return `this guest cannot be saved: ${blockedReasons.join('; ')}`;
  if (tellsDevices) return undefined;
  return 'this QEMU (older than 6.0) does not tell whether it has a device that cannot be saved, and could crash over one';
}
