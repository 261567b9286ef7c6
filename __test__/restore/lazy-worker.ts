/** A process that brings a guest up lazily in a QEMU that waits, for a test that kills it. */
import { attach } from '../../ts/restore/attach.ts';
import { QmpClient } from '../../ts/qmp/client.ts';
import type { PostcopyOptions } from '../../ts/restore/postcopy/postcopy-options.ts';

export interface LazyOrder {
  /** The address of QEMU's monitor. */
  readonly server: string;
  readonly snapshot: string;
  readonly postcopy: PostcopyOptions;
}

async function carryOut({ server, snapshot, postcopy }: LazyOrder): Promise<void> {
  const qmp = await QmpClient.connect(server, { oob: true });
  process.send?.('begun');
  const { memoryComplete } = await attach(qmp, snapshot, { mode: 'lazy', postcopy });
  process.send?.('running');
  await memoryComplete;
  process.send?.('complete');
}

process.once('message', (order: LazyOrder) => void carryOut(order));
process.send?.('ready');
