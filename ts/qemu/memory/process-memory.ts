import { type MemoryBeneath, memoryBeneath } from '../../host/memory-beneath.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { answerOf } from '../../qmp/refusal.ts';
import { backendOf } from '../../stream/block-names.ts';
import { identifyQemu } from '../identify-qemu.ts';
import type { RamBlockRow } from './query-ram-blocks.ts';

/** A RAM block in QEMU's process. */
export interface ProcessMemoryBlock {
  readonly id: string;
  /** Used length in bytes. */
  readonly length: number;
  /** Address in QEMU's address space. */
  readonly address: number;
  readonly beneath: MemoryBeneath;
}

/** A machine's RAM blocks, as they lie in QEMU's process. */
export interface ProcessMemory {
  readonly pid: number;
  /** In QEMU's order. */
  readonly blocks: readonly ProcessMemoryBlock[];
}

/** Whoever may not look into a process does not see what it has open either, by which QEMU is known. */
const UNSEEN =
  "QEMU's process is not seen from here: this process may not look into it (root with CAP_SYS_PTRACE and QEMU's own user may), or it is in another container, or behind a proxy";

/**
 * Looks at the memory of a machine's RAM blocks in QEMU's process.
 * @param rows QEMU's present blocks
 * @returns the reason in words why that cannot be seen
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function lookAtProcessMemory(
  qmp: QmpClient,
  rows: readonly RamBlockRow[] | undefined,
  wait: WaitOptions = {},
): Promise<ProcessMemory | string> {
  if (rows === undefined) return 'this QEMU does not tell its RAM blocks';
  const { pid } = await identifyQemu(qmp, wait);
  if (pid === undefined) return UNSEEN;
  const places: { readonly id: string; readonly length: number; readonly address: number }[] = [];
  for (const { id, usedLength: length, hostAddress: address } of rows) {
    if (address === undefined) return 'this QEMU does not tell where its RAM blocks are';
    if (places.some((place) => place.id === id)) return `there are two blocks of the name ${id}`;
    places.push({ id, length, address });
  }
  const found = memoryBeneath(pid, places);
  if (found === undefined) return `the memory map of QEMU's process (${pid}) cannot be read here`;
  const blocks: ProcessMemoryBlock[] = [];
  for (const [index, place] of places.entries()) {
    const beneath = found[index];
    if (beneath === undefined) return `block ${place.id} is not one piece in QEMU's address space`;
    blocks.push({ ...place, beneath });
  }
  return { pid, blocks };
}

/**
 * Finds memory objects that map their file with the right to write into it (`readonly=on` missing). A private mapping keeps
 * the guest's writes to itself for all that; but what the guest gives back (a balloon, free page reporting) becomes a hole
 * in the file, for everybody who reads it.
 * @param ids of RAM blocks
 * @returns those of them; without any of which QEMU does not tell
 */
export async function queryWritableBlocks(
  qmp: QmpClient,
  ids: readonly string[],
  wait: WaitOptions,
): Promise<readonly string[]> {
  const answers = await Promise.all(
    ids.map((id) =>
      answerOf(qmp.execute('qom-get', { path: `/objects/${backendOf(id)}`, property: 'readonly' }, wait)),
    ),
  );
  return ids.filter((_, index) => answers[index] === false);
}
