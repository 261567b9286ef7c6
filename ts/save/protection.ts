import { MappedRamError } from '../errors.ts';
import type { Switch } from '../qemu/plan.ts';
import { QmpClient } from '../qemu/qmp-client.ts';
import { Guard } from './guard.ts';
import { type Recovery, recover } from './recovery.ts';

/** How long a QEMU that has lost a connection may take to accept the next. */
const RECONNECT_MS = 10_000;

/** Sees to it that QEMU gets back to where it was when a save fails, whatever has become of the connection or of us. */
export interface Protection {
  /** What is not protected, in words. */
  readonly warnings: readonly string[];
  /** Brings QEMU back. @returns the error of the save, with what else went wrong */
  recover(reason: unknown): Promise<unknown>;
  /** There is nothing to bring back any more. */
  release(): Promise<void>;
}

/**
 * Call it before anything is changed in QEMU.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a guard was asked for and cannot be had
 */
export async function protect(qmp: QmpClient, recovery: Recovery, wanted: Switch): Promise<Protection> {
  const started = wanted === 'off' ? undefined : await startGuard(qmp, recovery);
  const guard = started instanceof Guard ? started : undefined;
  if (typeof started === 'string' && wanted === 'on') {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `a guard cannot be had: ${started}`);
  }
  const warnings =
    typeof started === 'string'
      ? [`no guard (${started}): if this process had been killed, the guest would have stood still`]
      : [];
  return {
    warnings,
    release: async () => guard?.release(),
    recover: async (reason) => {
      const problem = await bringBack(qmp, recovery, guard).then(
        () => undefined,
        (second: unknown) => second,
      );
      return problem === undefined || isQemuGone(qmp, problem) ? reason : notBroughtBack(reason, problem);
    },
  };
}

async function startGuard(qmp: QmpClient, recovery: Recovery): Promise<Guard | string> {
  if (!Guard.isPossible(qmp)) return 'the connection to QEMU is no socket of this process';
  try {
    return await Guard.start(qmp, recovery);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** @throws what kept QEMU from being brought back */
async function bringBack(qmp: QmpClient, recovery: Recovery, guard: Guard | undefined): Promise<void> {
  if (qmp.isOpen) {
    const problem = await recover(qmp, recovery).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (problem === undefined || qmp.isOpen) await guard?.release();
    if (problem === undefined) return;
    if (qmp.isOpen) throw problem;
  }
  // The guard has the connection, too: it may be lost only for this side. While the guard lives, QEMU takes no other.
  if ((await guard?.recover()) === true) return;
  const { server, pid } = qmp;
  // Without an address all that is left is to say what has become of the connection.
  if (server === undefined) throw await qmp.execute('query-status').catch((error: unknown) => error);
  await using again = await QmpClient.connect(server, { timeoutMs: RECONNECT_MS, pid });
  await recover(again, recovery);
}

/** Whether there is nothing left to be brought back. */
function isQemuGone({ pid }: QmpClient, problem: unknown): boolean {
  if (pid !== undefined) return !isAlive(pid);
  const cause = problem instanceof MappedRamError ? problem.cause : undefined;
  return isNobodyThere(cause);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function isNobodyThere(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
}

function notBroughtBack(error: unknown, problem: unknown): MappedRamError {
  const [words, why] = [error, problem].map((one) => (one instanceof Error ? one.message : String(one)));
  return new MappedRamError(
    error instanceof MappedRamError ? error.code : 'ERR_MAPPED_RAM_QEMU',
    `${words}; and QEMU could not be brought back to where it was (${why}): the guest may stand still`,
    { cause: error },
  );
}
