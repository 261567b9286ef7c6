import type { GuestOptions } from '../../ts/guest/build-guest.ts';
import { checkGuestMemory } from '../../ts/guest/check-guest-memory.ts';
import { Snapshot } from '../../ts/index.ts';
import { pagesOf } from '../../ts/pages/bitmap-reader.ts';

const PAGE = 4096;

/**
 * Verifies that a snapshot is complete, and every word of the built-in guest's region in it: the snapshot must be one
 * state of the guest and not two.
 *
 * @param block the guest's memory
 * @throws an error that names what is wrong
 */
export async function checkSnapshot(path: string, block: string, region: GuestOptions): Promise<void> {
  await using snapshot = await Snapshot.open(path);
  const found = snapshot.completeRam().blocks.find(({ id }) => id === block);
  if (found === undefined) throw new Error(`${path} has no block ${block}`);
  const set = new Set<number>();
  for await (const { page, isSet } of pagesOf(snapshot.reader, found)) if (isSet) set.add(page);
  await checkGuestMemory(async (address, length) => {
    const bytes = Uint8Array.from(await snapshot.reader.read(found.area.pagesOffset + address, length));
    for (let at = 0; at < length; at += PAGE) {
      if (!set.has(Math.floor((address + at) / PAGE))) bytes.fill(0, at, at + PAGE);
    }
    return bytes;
  }, region);
}
