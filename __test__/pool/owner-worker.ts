/** A process that owns QEMUs which wait, for a test that kills it: a pool, and a fork that is prepared. */
import { prepareFork } from '../../ts/fork/prepare-fork.ts';
import type { PoolOptions } from '../../ts/pool/pool-options.ts';
import { descendantsOf } from '../../ts/host/process-tree.ts';
import { PoolGuests, untilHealth } from '../support/pool-guests.ts';
import { restoreGuest } from '../support/restored-guest.ts';

export interface OwnerOrder {
  readonly snapshot: string;
  readonly directory: string;
  readonly wait: PoolOptions['wait'];
  readonly binary: string;
}

/** The processes below the owner. */
export interface Owned {
  /** Those of guests that have an owner of their own. */
  readonly guests: readonly number[];
  /** All others. */
  readonly others: readonly number[];
}

async function own({ snapshot, directory, wait, binary }: OwnerOrder): Promise<void> {
  const guests = new PoolGuests({ file: (name) => `${directory}/${name}` });
  const { args } = guests;
  const pool = await guests.pool(snapshot, { size: 2, wait, binary, args });
  const taken = await pool.take();
  await untilHealth(pool, ({ waiting }) => waiting === 2);
  const { restored } = await restoreGuest(snapshot, {}, { mode: 'instant' });
  const forked = (index: number): Promise<readonly string[]> => args(index + 100);
  const slots = await prepareFork(restored.qemu.qmp, 2, { binary, args: forked });
  const tops = [taken.qemu.pid, restored.qemu.pid];
  const pids = tops.concat(tops.flatMap(descendantsOf));
  const others = descendantsOf(process.pid).filter((pid) => !pids.includes(pid));
  process.send?.({ guests: pids, others } satisfies Owned);
  process.once('message', () => void slots.close());
}

process.once('message', (order: OwnerOrder) => {
  void own(order);
});
process.send?.('ready');
