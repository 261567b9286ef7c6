/**
 * The process that `Guard` starts. It waits for the process that saves a guest. As long as that process lives, nothing
 * happens. If it goes without a word, the guard brings QEMU where it is to be, over the inherited connection. Each line
 * of standard input is a recovery that replaces the one before, or `done`: there is nothing left to bring back.
 */
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

import { QmpClient } from '../qmp/client.ts';
import { parseRecovery, recoverAtLast, type Recovery } from './recovery.ts';

/** The number of the QMP connection's descriptor. */
const QMP_FD = 3;

// The guard ends with its pipe. A signal that ends the saving process must find the guard alive.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

async function main(): Promise<void> {
  process.stdout.write('ready\n');
  let recovery: Recovery | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    recovery = line === 'done' ? undefined : parseRecovery(line);
  }
  if (recovery === undefined) return;
  await using qmp = QmpClient.succeed(new Socket({ fd: QMP_FD, readable: true, writable: true }));
  // The guard waits for as long as QEMU does not answer: the guest is to go on when QEMU answers again. The wait ends
  // with QEMU.
  await recoverAtLast(qmp, recovery);
}

main().catch(() => {
  process.exitCode = 1;
});
