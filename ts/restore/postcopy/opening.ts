import { MappedRamError } from '../../errors.ts';
import type { MemoryBlock } from '../../qemu/memory/memory-block.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import { plainConfiguration } from '../../stream/write/configuration-forms.ts';
import { encodePostcopyOpening } from '../../stream/write/encode-postcopy.ts';
import { stateSections } from '../../stream/write/state-sections.ts';

/** The page size that all of this is made for. */
const PAGE_SIZE = 4096;

/** All that QEMU gets before a guest runs whose memory comes later. */
export interface Opening {
  readonly bytes: Uint8Array;
  readonly sectionId: number;
}

/**
 * Makes the opening of a snapshot.
 * @param memory QEMU's blocks
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a guest that cannot be restored so, in words
 */
export async function makeOpening(snapshot: Snapshot, memory: readonly MemoryBlock[]): Promise<Opening> {
  const { index, reader } = snapshot;
  const { blocks, targetPageSize } = snapshot.completeRam();
  const problems = [...openingProblems(snapshot), ...blockProblems(snapshot, memory)];
  if (problems.length > 0 || index.ram === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `mode lazy: ${problems.join('; ')}`, {
      path: snapshot.path,
    });
  }
  const { devices } = stateSections(index);
  const read = async (ranges: typeof devices): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    for (const { offset, length } of ranges) parts.push(await reader.read(offset, length));
    return Buffer.concat(parts);
  };
  const { sectionId } = index.ram;
  const bytes = encodePostcopyOpening({
    configuration: plainConfiguration(index.configuration),
    blocks: blocks.map(({ id, length }) => {
      const found = memory.find((block) => block.id === id);
      return { id, length, hostPageSize: found?.hostPageSize ?? targetPageSize };
    }),
    sectionId,
    devices: await read(devices),
  });
  return { bytes, sectionId };
}

/** Lists what keeps a snapshot from being restored lazily, whatever the QEMU, in words. */
export function openingProblems(snapshot: Snapshot): readonly string[] {
  const { index } = snapshot;
  const { targetPageSize } = snapshot.completeRam();
  const problems: string[] = [];
  if (targetPageSize !== PAGE_SIZE)
    problems.push(`the guest's pages have ${targetPageSize} bytes, not ${PAGE_SIZE}`);
  const live = index.sections.filter(({ kind }) => kind === 'start').map(({ idstr }) => idstr);
  if (live.length > 0) problems.push(`the snapshot has live state beside its memory (${live.join(', ')})`);
  const memory = index.ram?.sections.at(-1)?.offset ?? 0;
  const early = index.sections.filter(({ kind, offset }) => kind === 'full' && offset < memory);
  if (early.length > 0) {
    const names = early.map(({ idstr }) => idstr).join(', ');
    problems.push(`the snapshot has devices that come before the memory (${names})`);
  }
  return problems;
}

/** Lists blocks whose memory in QEMU is not as the snapshot has it. */
export function blockProblems(snapshot: Snapshot, memory: readonly MemoryBlock[]): readonly string[] {
  if (memory.length === 0) return ['this QEMU does not list its memory'];
  return snapshot.completeRam().blocks.flatMap(({ id, length }) => {
    const found = memory.find((block) => block.id === id);
    if (found === undefined) return [`QEMU has no block ${id}`];
    if (length > found.maxLength)
      return [`block ${id} has ${length} bytes, in QEMU at most ${found.maxLength}`];
    return length % found.hostPageSize === 0
      ? []
      : [`block ${id} has ${length} bytes, which are no whole pages of ${found.hostPageSize}`];
  });
}
