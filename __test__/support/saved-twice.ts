import { Snapshot, writeDelta } from '../../ts/index.ts';
import { saveTo } from './plain-migration.ts';
import { type GuestSetup, startGuest } from './qemu.ts';
import { guestMemoryBlocks } from './qemu-setup.ts';
import type { TemporaryDirectory } from './temporary.ts';

/** A guest in two saves, and the delta of the second over the first. */
export interface Saved {
  readonly base: string;
  readonly later: string;
  readonly delta: string;
}

/** The pages that differ come out of a naive comparison; whatever a restore does not map is whole. */
export async function saveTwice(setup: GuestSetup, dir: TemporaryDirectory): Promise<Saved> {
  const [base, later, delta] = [dir.file('base.mr'), dir.file('later.mr'), dir.file('guest.delta')];
  await using guest = await startGuest(setup);
  for (const path of [base, later]) {
    await guest.cont();
    await guest.waitForGenerations(2);
    await guest.stop();
    await saveTo(guest.qmp, `file:${path}`, { multifd: true });
  }
  await writeBetween({ base, later, delta }, guestMemoryBlocks(setup));
  return { base, later, delta };
}

export async function writeBetween({ base, later, delta }: Saved, mapped: readonly string[]): Promise<void> {
  await using memory = await Snapshot.open(later);
  const ram = Object.fromEntries(
    memory.completeRam().blocks.map(({ id }) => [id, { memory, compare: mapped.includes(id) }]),
  );
  await writeDelta(delta, { base, state: memory, ram });
}
