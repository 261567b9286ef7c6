import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpObject, type QmpValue } from '../../qmp/json.ts';
import { answerOf } from '../../qmp/refusal.ts';
import type { WaitOptions } from '../../host/wait-within.ts';

/** A PCI device on a root bus. Devices behind bridges are not visible before the guest's firmware has run. */
export interface PciSlot {
  /** The device's address, as in the names of sections: `0000:00:1f.2`. */
  readonly address: string;
  /** The device in QEMU's words. */
  readonly words: string;
}

/** The answers of a QEMU that waits for a guest, as far as a snapshot can be compared with them. */
export interface Destination {
  /** The run state: `inmigrate` when QEMU waits. */
  readonly runState: string;
  /** The migration status: `none` when no migration was tried. */
  readonly migrationStatus: string;
  /** The machine type, resolved, as snapshots have it. Undefined when QEMU does not tell. */
  readonly machine: string | undefined;
  /** Machine types that this QEMU has, aliases too. */
  readonly machines: readonly string[];
  /** The target architecture: `x86_64`, `aarch64`, … */
  readonly target: string | undefined;
  readonly cpus: number | undefined;
  readonly kvm: boolean | undefined;
  /** The UUID as 32 hex digits; undefined when none was given. */
  readonly uuid: string | undefined;
  /** The machine's RAM blocks; empty when QEMU does not tell. */
  readonly memory: readonly MemoryBlock[];
  /** The machine's PCI devices; undefined when QEMU does not tell. */
  readonly pci: readonly PciSlot[] | undefined;
  /** Migration capabilities that this QEMU has. */
  readonly capabilities: readonly string[];
}

/** The part of a destination that is known from `QemuFacts`. */
export type KnownDestination = Pick<Destination, 'runState' | 'migrationStatus' | 'memory' | 'capabilities'>;

const MACHINE_SUFFIX = '-machine';
const NO_UUID = /^0+$/;

/**
 * Asks a destination for everything that `QemuFacts` lack. Questions that a QEMU does not answer stay undefined.
 * @throws {MappedRamError} when the connection is lost
 */
export async function describeDestination(
  qmp: QmpClient,
  wait: WaitOptions = {},
): Promise<Omit<Destination, keyof KnownDestination>> {
  const ask: Ask = async (command, args) => answerOf(qmp.execute<string>(command, args, wait));
  const [type, machines, target, cpus, kvm, uuid, pci] = await Promise.all([
    ask('qom-get', { path: '/machine', property: 'type' }),
    ask('query-machines'),
    ask('query-target'),
    queryCpus(qmp, wait),
    ask('query-kvm'),
    ask('query-uuid'),
    queryPci(qmp, wait),
  ]);
  return {
    machine: machineOf(type),
    machines: listOf(machines).flatMap((machine) => [text(machine['name']), text(machine['alias'])]),
    target: isQmpObject(target) ? text(target['arch']) : undefined,
    cpus,
    kvm: isQmpObject(kvm) ? kvm['enabled'] === true : undefined,
    uuid: uuidOf(uuid),
    pci,
  };
}

type Ask = (command: string, args?: Readonly<Record<string, string>>) => Promise<QmpValue | undefined>;

/** Asks for the number of CPUs. @returns undefined when QEMU does not tell */
export async function queryCpus(qmp: QmpClient, wait: WaitOptions): Promise<number | undefined> {
  const cpus = await answerOf(qmp.execute<string>('query-cpus-fast', undefined, wait));
  return Array.isArray(cpus) ? cpus.length : undefined;
}

/** Asks for the PCI devices on root buses. @returns undefined when QEMU does not tell */
export async function queryPci(qmp: QmpClient, wait: WaitOptions): Promise<readonly PciSlot[] | undefined> {
  const pci = await answerOf(qmp.execute<string>('query-pci', undefined, wait));
  return Array.isArray(pci) ? listOf(pci).flatMap((bus) => slotsOf(bus)) : undefined;
}

function machineOf(type: QmpValue | undefined): string | undefined {
  return typeof type === 'string' && type.endsWith(MACHINE_SUFFIX)
    ? type.slice(0, -MACHINE_SUFFIX.length)
    : undefined;
}

function uuidOf(reply: QmpValue | undefined): string | undefined {
  const uuid = isQmpObject(reply) ? text(reply['UUID']).replaceAll('-', '') : '';
  return uuid === '' || NO_UUID.test(uuid) ? undefined : uuid.toLowerCase();
}

function slotsOf(bus: { readonly [key: string]: QmpValue }): readonly PciSlot[] {
  return listOf(bus['devices']).map((device) => {
    const { slot, function: fn, class_info: kind, qdev_id: id } = device;
    const address = `0000:${hex(bus['bus'])}:${hex(slot)}.${Number(fn).toString(16)}`;
    const words = isQmpObject(kind) ? text(kind['desc']) : '';
    return { address, words: [words || 'a device', text(id)].filter((part) => part !== '').join(' ') };
  });
}

function hex(value: QmpValue | undefined): string {
  return Number(value).toString(16).padStart(2, '0');
}

function listOf(value: QmpValue | undefined): readonly { readonly [key: string]: QmpValue }[] {
  return Array.isArray(value) ? value.filter((entry) => isQmpObject(entry)) : [];
}

function text(value: QmpValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
