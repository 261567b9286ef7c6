import { CAPABILITY_IGNORE_SHARED, CAPABILITY_MAPPED_RAM } from '../constants.ts';
import type { Configuration } from '../configuration.ts';

/** Makes the CONFIGURATION of a mapped-ram file that holds all of the guest's memory. */
export function mappedConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: [...otherCapabilities(configuration), CAPABILITY_MAPPED_RAM] };
}

/** Makes the CONFIGURATION of a plain stream that holds all of the guest's memory. */
export function plainConfiguration(configuration: Configuration): Configuration {
  return { ...configuration, capabilities: otherCapabilities(configuration) };
}

function otherCapabilities({ capabilities }: Configuration): readonly string[] {
  return capabilities.filter(
    (capability) => capability !== CAPABILITY_MAPPED_RAM && capability !== CAPABILITY_IGNORE_SHARED,
  );
}
