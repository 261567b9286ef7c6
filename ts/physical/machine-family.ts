import { MappedRamError } from '../errors.ts';
import type { Configuration } from '../stream/configuration.ts';

/** Machines whose guest-physical layout is known. */
export type MachineFamily = 'i440fx' | 'q35' | 'isapc' | 'microvm' | 'virt';

/**
 * Tells a machine's family by its type. Distributions have types of their own: `pc-q35-rhel9.4.0`, `pc-i440fx-noble`.
 * Other architectures have a machine `virt`, too: ARM's always says its page size (docs/format.md §1.2).
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for any other machine
 */
export function machineFamily({ machine, targetPageBits }: Configuration, path: string): MachineFamily {
  if (/^(?:pc|pc-i440fx-.+)$/.test(machine)) return 'i440fx';
  if (/^(?:q35|pc-q35-.+)$/.test(machine)) return 'q35';
  if (machine === 'isapc' || machine === 'microvm') return machine;
  if (targetPageBits !== undefined && /^virt(?:-.+)?$/.test(machine)) return 'virt';
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    'the guest-physical layout of this machine is not known; its blocks can be read one by one',
    {
      path,
      expected: 'pc-i440fx-…, pc-q35-…, isapc, microvm, or virt-… of ARM',
      found: machine === '' ? 'a machine without a name' : machine,
    },
  );
}
