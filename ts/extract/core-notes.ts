import type { PhysicalMap } from '../physical/physical-map.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { EM_386, EM_AARCH64, EM_X86_64 } from './elf-core.ts';
import { guestNote } from './guest-note.ts';

/** The notes of a core file. */
interface CoreNotes {
  /** `e_machine`. */
  readonly machine: number;
  readonly notes: Uint8Array;
  readonly cpus: number;
  /** Reasons why a note is missing, in words. */
  readonly problems: readonly string[];
}

/**
 * Makes the notes on a snapshot's CPUs, and behind them the note that the guest has left.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE when the file does not describe its CPUs,
 *   ERR_MAPPED_RAM_UNSUPPORTED when it describes others
 */
export async function coreNotes(snapshot: Snapshot, map: PhysicalMap): Promise<CoreNotes> {
  const { notes, ...cpus } = await cpuNotes(snapshot, map);
  const { note, problem } = await guestNote(snapshot, map);
  return { ...cpus, notes: Buffer.concat([notes, note]), problems: problem === undefined ? [] : [problem] };
}

async function cpuNotes(snapshot: Snapshot, { family }: PhysicalMap): Promise<Omit<CoreNotes, 'problems'>> {
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
