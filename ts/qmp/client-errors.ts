import { MappedRamError, type QmpErrorReply } from '../errors.ts';
import { endOfProcess } from '../host/process-end.ts';
import type { QmpClientOptions } from './client-options.ts';

/** Makes the error for the use of a client that its owner has closed. */
export function closed(): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_CLOSED', 'the QMP connection is closed');
}

/** Makes the error for an answer that does not come in time. @param what the wait in words, or the command */
export function timeout(what: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `${what}: no answer in time`);
}

/** Makes the error for a command that QEMU refuses. */
export function refused(command: string, qmp: QmpErrorReply): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_QEMU', `QEMU refused ${command}: ${qmp.desc}`, { qmp });
}

/** Limit in milliseconds for the end of a process that closed the connection: most close it by ending. */
const END_MS = 500;

/** Says what became of the process at the other end of a lost connection. */
export function explainByPeer(pid: number | undefined): QmpClientOptions['explainLoss'] {
  if (pid === undefined) return undefined;
  return async () => {
    const end = await endOfProcess(pid, END_MS);
    return end === undefined ? `its process ${pid} still runs` : `its process ${pid} ${end}`;
  };
}

/** Makes the error for a connection that is lost. @param explain says why QEMU is gone, if it can */
export async function lost(
  what: string,
  explain: QmpClientOptions['explainLoss'],
  cause: unknown,
): Promise<MappedRamError> {
  const why = await explain?.().catch(() => undefined);
  return new MappedRamError('ERR_MAPPED_RAM_QEMU', why === undefined ? what : `${what}: ${why}`, { cause });
}
