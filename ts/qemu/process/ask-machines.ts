import type { MachineInfo } from '../../qmp/qapi.generated.ts';
import { BARE } from './find-qemu.ts';
import { QemuProcess, type QemuProcessOptions } from './qemu-process.ts';

/** Limit in milliseconds: a QEMU without a guest answers in a tenth of a second. */
const ANSWER_MS = 5000;

/**
 * Starts a QEMU without a guest and asks it for its machine types. A program in front of QEMU (timeout, sudo) gets no
 * arguments of its own here, so it fails, and the list is empty: not known. Throws only the signal's reason.
 */
export async function askMachines({
  binary,
  signal,
}: Pick<QemuProcessOptions, 'binary' | 'signal'>): Promise<readonly MachineInfo[]> {
  try {
    await using qemu = await QemuProcess.start({
      binary,
      args: [...BARE, '-S'],
      timeoutMs: ANSWER_MS,
      signal,
    });
    return await qemu.qmp.execute('query-machines', undefined, { timeoutMs: ANSWER_MS, signal });
  } catch {
    signal?.throwIfAborted();
    return [];
  }
}
