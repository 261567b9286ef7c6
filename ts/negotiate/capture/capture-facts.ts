import { changedPages, type ProcessRights, mayReadProcess } from '../../engine/process/changed-pages.ts';
import { messageOf } from '../../errors.ts';
import { firstMapping, openBeneath } from '../../host/memory-beneath.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import { bytesInRuns } from '../../pages/byte-runs.ts';
import { comingMemoryOf } from '../../qemu/memory/coming-memory.ts';
import {
  lookAtProcessMemory,
  type ProcessMemory,
  queryWritableBlocks,
} from '../../qemu/memory/process-memory.ts';
import { queryRamBlocks } from '../../qemu/memory/query-ram-blocks.ts';
import { type DeviceStateFacts, queryDeviceStateFacts } from '../../qemu/state/device-state-facts.ts';
import { type LiveState, queryLiveState } from '../../qemu/state/live-state.ts';
import { queryMachineIdentity } from '../../qemu/state/machine-identity.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { type MachineFacts, streamMachine } from '../../stream/write/compose-state.ts';
import { findComingBase } from './coming-base.ts';
import type { FoundBase } from './found-base.ts';
import { findMappedBase } from './mapped-base.ts';

/** The facts that decide whether the engine can take a guest out of QEMU's process. */
export interface CaptureFacts {
  readonly deviceState: DeviceStateFacts;
  /** State that QEMU's device state alone leaves out; undefined when QEMU does not tell. */
  readonly liveState: readonly LiveState[] | undefined;
  /** The machine, as a stream has to name it; undefined when QEMU does not tell. */
  readonly machine: Pick<MachineFacts, 'machine' | 'target'> | undefined;
  /** The reason in words why no stream of this machine can be made; undefined when one can. */
  readonly machineProblem: string | undefined;
  /** The memory, or the reason in words why it is not seen. */
  readonly memory: ProcessMemory | string;
  /** The reasons why this process may not read it; undefined when it may, or the memory is not seen. */
  readonly rights: ProcessRights | undefined;
  /** Bytes of the pages that only QEMU's process has, as the guest runs; undefined where nobody looked. */
  readonly ownBytes: number | undefined;
  /** The snapshot that the guest stands on; undefined where nobody asked. */
  readonly base: FoundBase | undefined;
}

/**
 * Asks whether the engine can take a guest out of QEMU's process: its device state by itself, its memory page by page.
 * Changes nothing.
 * @param base the caller's wish for a base; undefined for none
 * @throws {MappedRamError} as {@link QmpClient.execute}, and as `findMappedBase`
 */
export async function queryCaptureFacts(
  qmp: QmpClient,
  base: string | undefined,
  wait: WaitOptions,
): Promise<CaptureFacts> {
  const [deviceState, liveState, machine, rows] = await Promise.all([
    queryDeviceStateFacts(qmp, wait),
    queryLiveState(qmp, wait),
    queryMachineIdentity(qmp, wait),
    queryRamBlocks(qmp, wait),
  ]);
  const memory = await lookAtProcessMemory(qmp, rows, wait);
  const isSeen = typeof memory !== 'string';
  // A page of the guest's may still be on its way, and cannot be read then.
  const place = isSeen ? firstMapping(memory.pid) : undefined;
  const rights = isSeen && place !== undefined ? await mayReadProcess(memory.pid, place) : undefined;
  const isReadable = isSeen && rights === undefined;
  const found = base === undefined || !isReadable ? undefined : await keptBase(qmp, memory, base, wait);
  const machineProblem = machine === undefined ? undefined : problemWith(machine, found);
  const closed = isReadable ? await whyNotOpened(memory, found) : undefined;
  const ownBytes = isReadable && closed === undefined ? await countOwnBytes(memory) : undefined;
  const facts = { deviceState, liveState, machine, machineProblem, rights, ownBytes };
  return { ...facts, memory: closed ?? memory, base: found };
}

/** The snapshot that a guest stands on, where nothing that the guest does changes that file. */
async function keptBase(
  qmp: QmpClient,
  memory: ProcessMemory,
  wanted: string,
  wait: WaitOptions,
): Promise<FoundBase> {
  const coming = comingMemoryOf(qmp);
  if (coming !== undefined) return findComingBase(coming, memory, wanted);
  const found = await findMappedBase(memory, wanted);
  const [id] = 'mapped' in found ? await queryWritableBlocks(qmp, found.mapped, wait) : [];
  if (id === undefined || !('path' in found)) return found;
  const words = `QEMU has opened ${found.path} for writing (block ${id}), and punches holes into it where the guest gives memory back: start QEMU with readonly=on,rom=off, as launchArguments says`;
  return { rule: 'base-unfit', words };
}

/** The reason in words why a file beneath the memory cannot be opened here; undefined when all can that are to be read. */
async function whyNotOpened(
  { pid, blocks }: ProcessMemory,
  base: FoundBase | undefined,
): Promise<string | undefined> {
  const onBase = base !== undefined && 'mapped' in base ? base.mapped : [];
  for (const { id, beneath } of blocks) {
    if (beneath.kind === 'anonymous' || onBase.includes(id)) continue;
    const opened = await openBeneath(pid, beneath.file);
    if (opened === undefined) {
      return `the file beneath block ${id} of QEMU's memory (${beneath.file.name}) cannot be opened here`;
    }
    await opened.close();
  }
  return undefined;
}

/** Counts the bytes of private memory in pages that only the process has. */
export async function countOwnBytes({ pid, blocks }: ProcessMemory): Promise<number> {
  const own = (kind: 'anonymous' | 'private'): typeof blocks =>
    blocks.filter(({ beneath }) => beneath.kind === kind);
  const found = await Promise.all([
    changedPages(pid, own('anonymous'), 'data'),
    changedPages(pid, own('private'), 'changed'),
  ]);
  return found.flat().reduce((sum, runs) => sum + bytesInRuns(runs), 0);
}

/** A base tells the size of the machine's pages, whatever machine that is. */
function problemWith(
  machine: NonNullable<CaptureFacts['machine']>,
  base: FoundBase | undefined,
): string | undefined {
  if (base !== undefined && 'path' in base) return undefined;
  try {
    streamMachine(machine);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
