import { deviceBodyLength } from './body-length.ts';
import type { VmdescriptionDevice } from './vmdescription.ts';

/**
 * Gives FULL sections the length of their body. Descriptions and sections come in the same order. Name and instance
 * find a section that is out of order. Each description serves one section.
 */
export class DeviceLengths {
  /** Offset of the vmdescription: no section reaches beyond. */
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

  /** Tells whether a description of the section is left. */
  has(idstr: string, instanceId: number): boolean {
    return (this.#byKey.get(keyOf(idstr, instanceId))?.length ?? 0) > 0;
  }

  /** The length of a section's body. Undefined when there is no description (left), or none that can be added up. */
  take(idstr: string, instanceId: number): number | undefined {
    const device = this.takeDevice(idstr, instanceId);
    return device === undefined ? undefined : deviceBodyLength(device);
  }

  /** The description of a section itself. */
  takeDevice(idstr: string, instanceId: number): VmdescriptionDevice | undefined {
    return this.#byKey.get(keyOf(idstr, instanceId))?.shift();
  }
}

function keyOf(name: string, instanceId: number): string {
  return `${instanceId}/${name}`;
}
