import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { queryGuestMemory } from '../qemu/memory/guest-memory.ts';
import { identifyQemu } from '../qemu/identify-qemu.ts';
import type { MemoryBlock } from '../qemu/memory/memory-block.ts';
import { queryRamBlocks } from '../qemu/memory/query-ram-blocks.ts';
import type { QmpClient } from '../qmp/client.ts';
import {
  type Destination,
  describeDestination,
  queryCpus,
  queryPci,
} from '../restore/preflight/destination.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { IndexedSection } from '../stream/stream-index.ts';

/** The machine of the guest that is to be forked, as far as its clones have to be the same. */
export interface SourceFacts extends Pick<Destination, 'machine' | 'target' | 'cpus' | 'kvm' | 'pci'> {
  /** Every RAM block, in QEMU's order. */
  readonly memory: readonly MemoryBlock[];
  /** QEMU's process, when it is known. */
  readonly pid: number | undefined;
}

/** Asks a running QEMU for its machine. @throws {MappedRamError} as `QmpClient.execute` */
export async function querySourceFacts(qmp: QmpClient, wait: WaitOptions): Promise<SourceFacts> {
  const [about, memory, { pid }] = await Promise.all([
    describeDestination(qmp, wait),
    queryGuestMemory(qmp, wait),
    identifyQemu(qmp, wait),
  ]);
  const { machine, target, cpus, kvm, pci } = about;
  return { machine, target, cpus, kvm, pci, memory, pid };
}

/** The parts of a machine that can change while its guest runs. */
export type ChangingFacts = Pick<SourceFacts, 'cpus' | 'pci'> & {
  readonly memory: readonly Pick<MemoryBlock, 'id' | 'length'>[];
};

/** Asks for these parts alone, which takes a few milliseconds less. @throws {MappedRamError} as `QmpClient.execute` */
export async function queryChangingFacts(qmp: QmpClient, wait: WaitOptions): Promise<ChangingFacts> {
  const [cpus, pci, rows = []] = await Promise.all([
    queryCpus(qmp, wait),
    queryPci(qmp, wait),
    queryRamBlocks(qmp, wait),
  ]);
  return { cpus, pci, memory: rows.map(({ id, usedLength: length }) => ({ id, length })) };
}

/**
 * Makes sure that the machine is still the one for which QEMUs wait.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming every difference
 */
export function assertSameMachine(before: ChangingFacts, now: ChangingFacts): void {
  const [then, today] = [wordsOf(before), wordsOf(now)];
  const changed = then.flatMap(([what, words], index) => {
    const found = today[index]?.[1];
    return found === words ? [] : [`its ${what} was ${words}, and is ${found ?? 'unknown'}`];
  });
  if (changed.length === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the guest's machine has changed since its clones were prepared: ${changed.join('; ')}; prepare the fork again`,
  );
}

function wordsOf({ cpus, pci, memory }: ChangingFacts): readonly (readonly [string, string])[] {
  return [
    ['number of CPUs', String(cpus ?? 'unknown')],
    ['list of PCI devices', pci?.map(({ address }) => address).join(' ') ?? 'unknown'],
    ['memory', memory.map(({ id, length }) => `${id} (${length} bytes)`).join(', ')],
  ];
}

/** A guest that is going to be a snapshot, for comparison with the QEMUs that wait for it. */
export type GuestToBe = Pick<Snapshot, 'index' | 'completeRam'>;

/**
 * Describes the running guest as the snapshot that it is going to be.
 * @param mapped the snapshot that QEMUs map: it has the same blocks
 */
export function guestToBe({ machine, cpus = 0, kvm, pci = [] }: SourceFacts, mapped: Snapshot): GuestToBe {
  const names = [
    ...Array.from({ length: cpus }, () => 'cpu_common'),
    ...(kvm === true ? ['kvmclock'] : []),
    ...pci.map(({ address, words }) => `${address}/${words}`),
  ];
  const { index } = mapped;
  return {
    index: { ...index, machine: machine ?? index.machine, sections: names.map((idstr) => sectionOf(idstr)) },
    completeRam: (ignoreDeviceState) => mapped.completeRam(ignoreDeviceState),
  };
}

/** A section of a device, of which only the name is known. */
function sectionOf(idstr: string): IndexedSection {
  const nowhere = { offset: 0, length: 0, bodyOffset: 0, bodyLength: 0, footerOffset: 0 };
  const identity = { sectionId: 0, idstr, instanceId: 0, versionId: 0 };
  return { type: 'section', kind: 'full', early: false, ...nowhere, ...identity };
}
