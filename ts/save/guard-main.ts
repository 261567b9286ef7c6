/**
 * The process that `Guard` starts. It waits for the process that saves a guest. As long as that is there nothing happens;
 * if it goes without a word, the guard brings QEMU where it is to be, over the connection that it has inherited. Each line of
 * standard input is a recovery in the place of the one before, or `done`: there is nothing to be brought back.
 */
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

import { QmpClient } from '../qmp/client.ts';
import { parseRecovery, recoverAtLast, type Recovery } from './recovery.ts';

/** The descriptor of the QMP connection. */
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
  // However long QEMU does not answer: when it does again, its guest is to go on. It ends with QEMU.
  await recoverAtLast(qmp, recovery);
}

main().catch(() => {
  process.exitCode = 1;
});
