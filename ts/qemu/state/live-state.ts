import type { WaitOptions } from '../../host/wait-within.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpObject, type QmpValue } from '../../qmp/json.ts';
import { answerOf } from '../../qmp/refusal.ts';

/** A child in QOM's tree, or a type, as QEMU lists it. */
interface QomEntry {
  readonly name: string;
  /** Of a child, its type: `vfio-pci`. Undefined for properties of other kinds. */
  readonly child: string | undefined;
}

/** State that QEMU saves in several parts. */
export interface LiveState {
  readonly kind: 'vfio' | 'hash-table' | 'storage-attributes' | 'dirty-bitmaps' | 'block';
  /** The state in words. */
  readonly words: string;
}

/** The places where QEMU keeps the devices of `-device` and `device_add`: those with an id, and those without. */
const DEVICES = ['/machine/peripheral', '/machine/peripheral-anon'] as const;
/** Devices of the host that are passed through, and are saved a part at a time. */
const VFIO = /^vfio-/;
const STORAGE_ATTRIBUTES = 's390-storage_attributes';
/** The type that all machines with a hash table of their own have in common. */
const HASH_TABLE_MACHINE = 'spapr-machine';
/** Capabilities of migration with which QEMU saves disks, or notes about them, a part at a time. */
const CAPABILITIES: readonly LiveState[] = [
  { kind: 'dirty-bitmaps', words: 'the dirty bitmaps of disks (capability dirty-bitmaps is on)' },
  { kind: 'block', words: 'the content of disks (capability block is on)' },
];

/**
 * Names the live state beside RAM that QEMU's device state alone leaves out (docs/format.md §1.8, §4.4): whatever QEMU
 * saves in several parts. QEMU lists no handlers of its migration, so the devices that bring such state are looked for.
 *
 * @returns undefined when QEMU does not tell which devices it has: nothing is known then
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryLiveState(
  qmp: QmpClient,
  wait: WaitOptions = {},
): Promise<readonly LiveState[] | undefined> {
  const [hasTable, parts, devices, capabilities] = await Promise.all([
    hasHashTable(qmp, wait),
    listChildren(qmp, '/machine', wait),
    Promise.all(DEVICES.map((path) => listChildren(qmp, path, wait))),
    answerOf(qmp.execute('query-migrate-capabilities', undefined, wait)),
  ]);
  if (hasTable === undefined || parts === undefined || capabilities === undefined) return undefined;
  const found: LiveState[] = [];
  for (const list of devices) {
    if (list === undefined) return undefined;
    for (const { name, child } of list)
      if (child !== undefined && VFIO.test(child))
        found.push({ kind: 'vfio', words: `the state of ${child} (${name})` });
  }
  if (hasTable) found.push({ kind: 'hash-table', words: "the hash table of a pseries machine's memory" });
  if (parts.some(({ name }) => name === STORAGE_ATTRIBUTES))
    found.push({ kind: 'storage-attributes', words: "the attributes of s390x's storage" });
  const isOn = (name: string): boolean =>
    capabilities.some(({ capability, state }) => capability === name && state);
  return [...found, ...CAPABILITIES.filter(({ kind }) => isOn(kind))];
}

/** QEMUs that have told their machine, which stays the same as long as they live. */
const machines = new WeakMap<QmpClient, boolean>();

/** Tells whether the machine has a hash table of its own. QEMU goes through hundreds of types for the answer. */
async function hasHashTable(qmp: QmpClient, wait: WaitOptions): Promise<boolean | undefined> {
  const known = machines.get(qmp);
  if (known !== undefined) return known;
  const [machine, tables] = await Promise.all([
    answerOf(qmp.execute('qom-get', { path: '/machine', property: 'type' }, wait)),
    listTypes(qmp, HASH_TABLE_MACHINE, wait),
  ]);
  if (typeof machine !== 'string' || tables === undefined) return undefined;
  const isOne = tables.some(({ name }) => name === machine);
  machines.set(qmp, isOne);
  return isOne;
}

async function listChildren(
  qmp: QmpClient,
  path: string,
  wait: WaitOptions,
): Promise<readonly QomEntry[] | undefined> {
  return entriesOf(await answerOf(qmp.execute('qom-list', { path }, wait)));
}

async function listTypes(
  qmp: QmpClient,
  base: string,
  wait: WaitOptions,
): Promise<readonly QomEntry[] | undefined> {
  return entriesOf(await answerOf(qmp.execute('qom-list-types', { implements: base }, wait)));
}

function entriesOf(list: QmpValue | undefined): readonly QomEntry[] | undefined {
  if (!Array.isArray(list)) return undefined;
  return list.flatMap((entry: QmpValue) => {
    if (!isQmpObject(entry)) return [];
    const { name, type } = entry;
    if (typeof name !== 'string') return [];
    const [, child] = /^child<(.+)>$/.exec(typeof type === 'string' ? type : '') ?? [];
    return [{ name, child }];
  });
}
