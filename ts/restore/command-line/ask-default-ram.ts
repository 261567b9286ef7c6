import { askMachines } from '../../qemu/process/ask-machines.ts';
import type { QemuProcessOptions } from '../../qemu/process/qemu-process.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { defaultRamIds } from '../../stream/default-ram.ts';
import type { Mode } from '../modes/mode.ts';
import { namedMemory } from './memory-plan.ts';
import type { CommandLineOption } from './options.ts';

/**
 * Asks the QEMU that is to be started for the id of the memory that it makes for the snapshot's machine type. That
 * takes a start of QEMU, so nobody asks when the type is known, when the command line names the memory, or when the
 * mode has no use for an answer.
 *
 * @returns undefined when nobody asked, or there was no answer
 */
export async function askDefaultRam(
  snapshot: Snapshot,
  mode: Mode,
  commandLine: readonly CommandLineOption[],
  { binary, signal }: Pick<QemuProcessOptions, 'binary' | 'signal'>,
): Promise<string | undefined> {
  const { machine } = snapshot.index;
  const isClear = defaultRamIds(machine) !== undefined || namedMemory(commandLine).length > 0;
  if (isClear || !mode.startsWithMemory) return undefined;
  const machines = await askMachines({ binary, signal });
  return machines.find(({ name, alias }) => name === machine || alias === machine)?.['default-ram-id'];
}
