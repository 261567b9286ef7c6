import { MappedRamError } from '../../errors.ts';
import { areBitmapsLost } from '../../pages/lost-bitmaps.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { StreamIndex } from '../../stream/stream-index.ts';
import type { Mode } from '../modes/mode.ts';
import type { Destination } from './destination.ts';
import type { MappedFile } from './mapped-file.ts';
import { deviceProblems, deviceWarnings } from './devices.ts';
import { blockProblems, blockWarnings } from './memory.ts';

/** The mismatches between a snapshot and the QEMU that is to take it over, in words. */
export interface Preflight {
  /** Each problem makes the restore fail, or, worse, succeed with a guest that is not as it was saved. */
  readonly problems: readonly string[];
  /** Doubts: the restore may go well all the same. */
  readonly warnings: readonly string[];
}

export interface PreflightOptions {
  readonly mode: Mode;
  /** The blocks whose memory is in place already. */
  readonly inPlace: readonly string[];
  /** The snapshot's file. */
  readonly file: MappedFile;
}

const X86 = /^(x86_64|i386)$/;

/**
 * Compares a snapshot with a QEMU. QEMU itself notices few of these mismatches, and says little about them
 * (docs/format.md §4.2, §7).
 */
export function comparePreflight(
  snapshot: Pick<Snapshot, 'index' | 'completeRam'> & Partial<Pick<Snapshot, 'base'>>,
  destination: Destination,
  options: PreflightOptions,
): Preflight {
  const { index } = snapshot;
  const { blocks: own, targetPageSize } = snapshot.completeRam(true);
  // The places to compare mappings with are those in the base of a delta; all else is the same in both.
  const blocks = snapshot.base?.blocks ?? own;
  return {
    problems: [
      ...stateProblems(destination),
      ...machineProblems(index, destination),
      ...pageSizeProblems(targetPageSize, destination),
      ...options.mode.capabilityProblems(index, destination.capabilities),
      ...uuidProblems(index, destination),
      ...blockProblems(blocks, destination.memory, { ...options, pci: destination.pci }),
      ...deviceProblems(index, destination),
    ],
    warnings: [
      ...blockWarnings(blocks, destination.memory, destination.pci),
      ...options.mode.placeWarnings(options.file),
      ...deviceWarnings(index, destination),
    ],
  };
}

/**
 * Throws the problems as one error that names them all.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when there are any
 */
export function assertPreflight(problems: readonly string[], path: string): void {
  if (problems.length === 0) return;
  const count = problems.length === 1 ? '' : ` (${problems.length} reasons)`;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the snapshot does not fit this QEMU${count}: ${problems.join('; ')}`,
    { path },
  );
}

/** Finds a save whose bitmaps were never written: a restore would bring nothing but zeros. */
export async function emptyProblems(snapshot: Snapshot): Promise<readonly string[]> {
  return (await areBitmapsLost(snapshot.reader, snapshot.completeRam(true)))
    ? ['no page is set in any block: the save was cancelled, or made with background-snapshot']
    : [];
}

function stateProblems({ runState, migrationStatus }: Destination): readonly string[] {
  if (runState !== 'inmigrate') {
    return [`QEMU is ${runState} and does not wait for a guest: start it with -incoming defer`];
  }
  if (migrationStatus === 'none') return [];
  return [`QEMU has tried to take a guest over already (${migrationStatus}): start another`];
}

function machineProblems(index: StreamIndex, { machine, machines }: Destination): readonly string[] {
  // QEMU compares only as many characters as the snapshot has.
  if (machine === undefined || machine.startsWith(index.machine)) return [];
  const known = machines.length === 0 || machines.includes(index.machine);
  const advice = known ? `start it with -machine ${index.machine}` : 'which this QEMU does not have';
  return [`the snapshot's machine type is ${index.machine}, QEMU's ${machine}: ${advice}`];
}

function pageSizeProblems(pageSize: number, { target }: Destination): readonly string[] {
  if (target === undefined || !X86.test(target) || pageSize === 4096) return [];
  return [`the snapshot's pages have ${pageSize} bytes, those of ${target} 4096`];
}

function uuidProblems({ configuration }: StreamIndex, { uuid }: Destination): readonly string[] {
  if (configuration.uuid === undefined || uuid === undefined) return [];
  const saved = Buffer.from(configuration.uuid).toString('hex');
  return saved === uuid ? [] : [`the snapshot is of the guest with UUID ${saved}, QEMU has ${uuid}`];
}
