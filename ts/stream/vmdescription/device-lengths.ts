import { deviceBodyLength } from './body-length.ts';
import type { VmdescriptionDevice } from './vmdescription.ts';

/**
 * Gives FULL sections the length of their body. Descriptions and sections come in the same order; a section that is out
 * of order is found by name and instance. Each description serves one section.
 */
export class DeviceLengths {
  /** Where the vmdescription starts: no section reaches beyond. */
  readonly end: number;
  readonly #byKey: Map<string, VmdescriptionDevice[]> = new Map();

  constructor(devices: readonly VmdescriptionDevice[], end: number) {
    this.end = end;
    for (const device of devices) {
      const key = keyOf(device.name, device.instance_id);
      const same = this.#byKey.get(key);
      if (same === undefined) this.#byKey.set(key, [device]);
      else same.push(device);
    }
  }

  /** Undefined when there is no description (left), or none that can be added up. */
  take(idstr: string, instanceId: number): number | undefined {
    const device = this.takeDevice(idstr, instanceId);
    return device === undefined ? undefined : deviceBodyLength(device);
  }

  /** The description itself. */
  takeDevice(idstr: string, instanceId: number): VmdescriptionDevice | undefined {
    return this.#byKey.get(keyOf(idstr, instanceId))?.shift();
  }
}

function keyOf(name: string, instanceId: number): string {
  return `${instanceId}/${name}`;
}
