/** A process that forks a guest on demand, for a test that kills it. */
import { fork } from '../../ts/fork/fork.ts';
import { prepareFork } from '../../ts/fork/prepare-fork.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import { PoolGuests } from '../support/pool-guests.ts';
import { QEMU_BINARY } from '../support/qemu-binary.ts';

export interface ForkOrder {
  /** The address of the guest's monitor. */
  readonly server: string;
  /** The directory of the clones' files. */
  readonly directory: string;
  readonly clones: number;
  /** True for clones whose QEMUs wait before the fork begins. */
  readonly isWarm: boolean;
}

async function carryOut({ server, directory, clones, isWarm }: ForkOrder): Promise<void> {
  const { args } = new PoolGuests({ file: (name) => `${directory}/${name}` });
  const qmp = await QmpClient.connect(server);
  const options = { binary: QEMU_BINARY, args };
  const slots = isWarm ? await prepareFork(qmp, clones, options) : undefined;
  process.send?.('begun');
  await (slots === undefined ? fork(qmp, clones, options) : slots.fork());
  process.send?.('done');
}

process.once('message', (order: ForkOrder) => void carryOut(order));
process.send?.('ready');
