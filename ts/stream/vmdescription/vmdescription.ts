/**
 * The description of device state that QEMU puts behind a stream (docs/format.md §1.5). The parser checks only the
 * members that measure sections; the rest is as the file has it.
 */
export interface Vmdescription {
  readonly page_size?: unknown;
  readonly configuration?: unknown;
  /** One description per FULL section, in the order they were written. */
  readonly devices: readonly VmdescriptionDevice[];
  readonly [key: string]: unknown;
}

/** One device in the vmdescription. */
export interface VmdescriptionDevice {
  readonly name: string;
  readonly instance_id: number;
  readonly [key: string]: unknown;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Parses a vmdescription; undefined when the bytes are none. */
export function parseVmdescription(bytes: Uint8Array): Vmdescription | undefined {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  if (!isRecord(json)) return undefined;
  const devices = json['devices'];
  return Array.isArray(devices) && devices.every(isDevice) ? { ...json, devices } : undefined;
}

function isDevice(value: unknown): value is VmdescriptionDevice {
  return isRecord(value) && typeof value['name'] === 'string' && Number.isSafeInteger(value['instance_id']);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
