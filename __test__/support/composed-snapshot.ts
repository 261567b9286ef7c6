import assert from 'node:assert/strict';

import { pack } from '../../ts/pack/pack.ts';
import { queryGuestMemory } from '../../ts/qemu/memory/guest-memory.ts';
import { queryRamBlocks } from '../../ts/qemu/memory/query-ram-blocks.ts';
import { DeviceState } from '../../ts/qemu/state/device-state.ts';
import { makeLoadableState } from '../../ts/qemu/state/loadable-state.ts';
import { queryMachineIdentity } from '../../ts/qemu/state/machine-identity.ts';
import type { RamLocation } from '../../ts/snapshot/ram-location.ts';
import type { StreamIndex } from '../../ts/stream/index.ts';
import type { TestGuest } from './qemu.ts';

export interface ComposedOptions {
  readonly base?: StreamIndex | undefined;
  readonly members?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Stops a guest, and packs a snapshot of its device state alone and its memory: blocks that QEMU shares out of their
 * files, the others out of QEMU's process. The guest stays stopped.
 */
export async function composeSnapshot(
  guest: TestGuest,
  target: string,
  { base, members }: ComposedOptions = {},
): Promise<void> {
  const { qmp } = guest;
  const before = await guest.runState();
  const machine = await queryMachineIdentity(qmp);
  assert(machine !== undefined);
  await using state = await DeviceState.ready(qmp);
  await guest.stop();
  const reader = await state.write();
  const rows = await queryRamBlocks(qmp);
  assert(rows !== undefined);
  const stopped = await guest.runState();
  await state.takeBack();
  const options = { machine, rows, base, members, runState: { before, stopped } };
  await using composed = await makeLoadableState(reader, options);
  const ram: Record<string, RamLocation> = {};
  for (const { id, length, file } of await queryGuestMemory(qmp)) {
    const { path, offset } = file ?? {};
    ram[id] = path === undefined ? await guest.readBlock(id, 0, length) : { path, offset };
  }
  await pack(target, { state: { fd: composed.fd }, ram });
}
