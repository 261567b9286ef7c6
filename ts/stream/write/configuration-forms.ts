import { CAPABILITY_BASE, CAPABILITY_IGNORE_SHARED, CAPABILITY_MAPPED_RAM } from '../constants.ts';
import type { Configuration } from '../configuration.ts';

/** The capabilities that say in which form the memory is in a stream: each form has its own. */
const FORMS: ReadonlySet<string> = new Set([
  CAPABILITY_MAPPED_RAM,
  CAPABILITY_IGNORE_SHARED,
  CAPABILITY_BASE,
]);

/** Makes the CONFIGURATION of a mapped-ram file that holds all of the guest's memory. */
export function mappedConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: [...otherCapabilities(configuration), CAPABILITY_MAPPED_RAM] };
}

/** Makes the CONFIGURATION of a plain stream that holds all of the guest's memory. */
export function plainConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: otherCapabilities(configuration) };
}

/** Makes the CONFIGURATION of a delta's first head, which no QEMU takes (docs/format.md §13). */
export function deltaConfiguration(configuration: Configuration): Configuration {
  const capabilities = [...otherCapabilities(configuration), CAPABILITY_MAPPED_RAM, CAPABILITY_BASE];
  return { ...configuration, capabilities };
}

function otherCapabilities({ capabilities }: Configuration): readonly string[] {
  return capabilities.filter((capability) => !FORMS.has(capability));
}
