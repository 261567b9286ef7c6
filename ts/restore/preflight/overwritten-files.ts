import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { isQmpObject, type QmpValue } from '../../qmp/json.ts';
import { answerOf } from '../../qmp/refusal.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import type { MappedRamBlock } from '../../stream/stream-index.ts';

/** The places of devices in QEMU's tree: those with an id, and those without. */
const PLACES = ['/machine/peripheral', '/machine/peripheral-anon'];
const CHILD = /^child<(.+)>$/;
const BACKEND_LINK = 'link<memory-backend>';

/**
 * Warns of files that the restore changes: QEMU writes a block's saved content into the block's memory, and with
 * `share=on` that is the file of a device (nvdimm, acpi-erst, ivshmem-plain). Nobody wonders about files of main memory.
 *
 * @param blocks the blocks whose content QEMU reads
 */
export async function overwrittenFiles(
  qmp: QmpClient,
  blocks: readonly MappedRamBlock[],
  memory: readonly MemoryBlock[],
  wait: WaitOptions,
): Promise<readonly string[]> {
  const shared = blocks
    .filter(({ skipped }) => !skipped)
    .map(({ id }) => memory.find((candidate) => candidate.id === id))
    .filter((found) => found?.backend?.share === true && found.backend.path !== undefined);
  if (shared.length === 0) return [];
  const users = await deviceOfObjects(qmp, wait);
  return shared.flatMap((found) => {
    const { id = '', path = '' } = found?.backend ?? {};
    const device = users.get(`/objects/${id}`);
    return device === undefined
      ? []
      : [
          `the file of ${device} (object ${id}, ${path}, share=on) now has the content that it had in the snapshot`,
        ];
  });
}

/** Finds the types of the devices that have a memory backend, by the backend's path. */
async function deviceOfObjects(qmp: QmpClient, wait: WaitOptions): Promise<ReadonlyMap<string, string>> {
  const ask = async (
    command: string,
    args: Readonly<Record<string, string>>,
  ): Promise<QmpValue | undefined> => answerOf(qmp.execute<string>(command, args, wait));
  const found = new Map<string, string>();
  for (const place of PLACES) {
    for (const { name, type } of propertiesOf(await ask('qom-list', { path: place }))) {
      const [, device] = CHILD.exec(type) ?? [];
      if (device === undefined) continue;
      const path = `${place}/${name}`;
      for (const property of propertiesOf(await ask('qom-list', { path }))) {
        if (property.type !== BACKEND_LINK) continue;
        const backend = await ask('qom-get', { path, property: property.name });
        if (typeof backend === 'string') found.set(backend, device);
      }
    }
  }
  return found;
}

function propertiesOf(
  reply: QmpValue | undefined,
): readonly { readonly name: string; readonly type: string }[] {
  return Array.isArray(reply)
    ? reply
        .filter((entry) => isQmpObject(entry))
        .flatMap(({ name, type }) =>
          typeof name === 'string' && typeof type === 'string' ? [{ name, type }] : [],
        )
    : [];
}
