import { identifyQemu } from '../identify-qemu.ts';
import { locateMemory } from './memory-file.ts';
import type { MemoryBackend, MemoryBlock } from './memory-block.ts';
import type { QmpClient } from '../../qmp/client.ts';
import { queryRamBlocks } from './query-ram-blocks.ts';
import type { WaitOptions } from '../../host/wait-within.ts';

/**
 * Lists every RAM block of the machine with its memory backend, and with the backend's file where this process can
 * reach it. The list is empty when this QEMU does not list its blocks: nothing is known of them then.
 *
 * @throws {MappedRamError} as {@link QmpClient.execute}
 */
export async function queryGuestMemory(
  qmp: QmpClient,
  options: WaitOptions = {},
): Promise<readonly MemoryBlock[]> {
  const rows = await queryRamBlocks(qmp, options);
  if (rows === undefined) return [];
  const [backends, { pid }] = await Promise.all([queryBackends(qmp, options), identifyQemu(qmp, options)]);
  return Promise.all(
    rows.map(async (row) => {
      const { id, usedLength: length, maxLength, hostPageSize } = row;
      const backend = backends.find((candidate) => isNamedAfter(id, candidate.id));
      const { file, why } = await locateMemory(backend, row, pid);
      return { id, length, maxLength, hostPageSize, backend, file, why };
    }),
  );
}

async function queryBackends(qmp: QmpClient, options: WaitOptions): Promise<readonly MemoryBackend[]> {
  const infos = await qmp.execute('query-memdev', undefined, options);
  const backends = infos.map(async ({ id, size }) => {
    if (id === undefined) return [];
    const property = async (name: string): Promise<unknown> =>
      // The backend's type decides which properties exist.
      qmp.execute('qom-get', { path: `/objects/${id}`, property: name }, options).catch(() => undefined);
    const [type, share, path, offset] = await Promise.all([
      property('type'),
      // The list of old QEMUs (5.2) lacks it.
      property('share'),
      property('mem-path'),
      property('offset'),
    ]);
    return [
      {
        id,
        type: typeof type === 'string' ? type : 'a backend of unknown type',
        size: Number(size),
        share: share === true,
        path: typeof path === 'string' ? path : undefined,
        offset: typeof offset === 'number' ? offset : 0,
      },
    ];
  });
  return (await Promise.all(backends)).flat();
}

/** A block has the name of its backend, or of the backend's place in QEMU's tree, below a device or `/objects`. */
function isNamedAfter(block: string, backend: string): boolean {
  return block === backend || block.endsWith(`/${backend}`);
}
