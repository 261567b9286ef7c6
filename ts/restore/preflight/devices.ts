import type { StreamIndex } from '../../stream/stream-index.ts';
import type { Destination } from './destination.ts';

/** Matches the address of a PCI device on a root bus at the beginning of a section's name. */
const PCI_ADDRESS = /^([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=[/:])/;
/** A section that only guests under KVM have. */
const KVM_SECTION = 'kvmclock';

/** Lists devices that the snapshot has and QEMU has not. Their sections make the load fail halfway. */
export function deviceProblems(index: StreamIndex, destination: Destination): readonly string[] {
  const { pci, cpus, kvm } = destination;
  const problems: string[] = [];
  const saved = index.sections.filter(({ idstr }) => idstr === 'cpu_common').length;
  if (cpus !== undefined && saved > 0 && saved !== cpus) {
    problems.push(`the guest has ${saved} CPUs, QEMU ${cpus}: give it -smp ${saved}`);
  }
  if (kvm === false && index.sections.some(({ idstr }) => idstr === KVM_SECTION)) {
    problems.push(`the guest ran under KVM (section ${KVM_SECTION}), QEMU does not: give it -accel kvm`);
  }
  for (const [address, names] of pci === undefined ? [] : pciSections(index)) {
    if (!pci?.some((slot) => slot.address === address)) {
      problems.push(`the guest has a PCI device at ${address} (${names.join(', ')}), QEMU has none there`);
    }
  }
  return problems;
}

/**
 * Lists devices that QEMU has and the snapshot has not: QEMU leaves them as after a reset. Some have no state to save.
 */
export function deviceWarnings(index: StreamIndex, { pci }: Destination): readonly string[] {
  const known = pciSections(index);
  return (pci ?? [])
    .filter(({ address }) => known.size > 0 && !known.has(address))
    .map(
      ({ address, words }) =>
        `QEMU has a PCI device at ${address} (${words}) that the snapshot knows nothing of`,
    );
}

function pciSections(index: StreamIndex): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { idstr } of index.sections) {
    const address = PCI_ADDRESS.exec(idstr)?.[1];
    if (address === undefined) continue;
    const names = found.get(address) ?? [];
    names.push(idstr.slice(idstr.lastIndexOf('/') + 1));
    found.set(address, names);
  }
  return found;
}
