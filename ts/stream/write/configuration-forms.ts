import type { Configuration } from '../stream/configuration.ts';
import { CAPABILITY_IGNORE_SHARED, CAPABILITY_MAPPED_RAM } from '../stream/constants.ts';

/** CONFIGURATION of a mapped-ram file that holds all of the guest's memory. */
export function mappedConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: [...otherCapabilities(configuration), CAPABILITY_MAPPED_RAM] };
}

/** CONFIGURATION of a plain stream that holds all of it. */
export function plainConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: otherCapabilities(configuration) };
}

function otherCapabilities({ capabilities }: Configuration): readonly string[] {
  return capabilities.filter(
    (capability) => capability !== CAPABILITY_MAPPED_RAM && capability !== CAPABILITY_IGNORE_SHARED,
  );
}

/** Whether a block's zero pages are written, too: a restore does not find firmware's memory empty (docs/format.md §4.2). */
export function storesZeroPages(id: string, which: 'firmware' | 'all' | readonly string[]): boolean {
  if (which === 'all') return true;
  return which === 'firmware' ? id.startsWith('system.flash') : which.includes(id);
}
