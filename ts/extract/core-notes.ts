import type { PhysicalMap } from '../physical/physical-map.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { EM_386, EM_AARCH64, EM_X86_64 } from './elf-core.ts';

/** The part of a core file that is about the CPUs. */
interface CoreNotes {
  /** `e_machine`. */
  readonly machine: number;
  readonly notes: Uint8Array;
  readonly cpus: number;
}

/**
 * Makes the notes on a snapshot's CPUs.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE when the file does not describe its CPUs,
 *   ERR_MAPPED_RAM_UNSUPPORTED when it describes others
 */
export async function coreNotes(snapshot: Snapshot, { family }: PhysicalMap): Promise<CoreNotes> {
  if (family === 'virt') {
    const { aarch64Notes } = await import('./aarch64-notes.ts');
    const { devices } = await snapshot.devices('cpu');
    const cpus = devices.filter(({ name }) => name === 'cpu');
    return { machine: EM_AARCH64, notes: aarch64Notes(cpus, snapshot.path), cpus: cpus.length };
  }
  const { isLongMode, x86Notes } = await import('./x86-notes.ts');
  const cpus = await snapshot.cpus();
  const machine = isLongMode(cpus) ? EM_X86_64 : EM_386;
  return { machine, notes: x86Notes(cpus), cpus: cpus.length };
}
