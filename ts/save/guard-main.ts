/**
 * What `Guard` starts: a process that waits for the one that saves a guest. As long as that is there nothing happens; if
 * it goes without a word, this brings QEMU back to where it was, over the connection that it has inherited. Standard input
 * has the recovery in its first line, and `done` in its second if all went well.
 */
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

import { QmpClient } from '../qemu/qmp-client.ts';
import { parseRecovery, recover } from './recovery.ts';

/** The descriptor of the QMP connection. */
const QMP_FD = 3;

// It ends with its pipe. What ends the other one is to find this one here.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function main(): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) return;
  const recovery = parseRecovery(first.value);
  process.stdout.write('ready\n');
  const second = await lines.next();
  if (second.done !== true && second.value === 'done') return;
  await using qmp = QmpClient.succeed(new Socket({ fd: QMP_FD, readable: true, writable: true }));
  await recover(qmp, recovery);
}

main().catch(() => {
  process.exitCode = 1;
});
