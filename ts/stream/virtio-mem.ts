import type { StreamIndex } from './stream-index.ts';

const SECTION = '/virtio-mem';

/**
 * Tells whether a block is the memory of a virtio-mem device. QEMU sends only the plugged part of it, which may be
 * nothing (docs/format.md §3). The id of the block begins with the name of the device.
 */
export function isVirtioMem(id: string, { sections }: Pick<StreamIndex, 'sections'>): boolean {
  return sections.some(
    ({ idstr }) => idstr.endsWith(SECTION) && id.startsWith(`${idstr.slice(0, -SECTION.length)}/`),
  );
}
