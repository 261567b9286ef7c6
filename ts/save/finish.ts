import { MappedRamError, messageOf } from '../errors.ts';
import type { Sealing } from '../seal/sealing.ts';
import type { AfterSave } from '../negotiate/request.ts';
import type { Settings } from '../qemu/settings.ts';
import type { QmpClient } from '../qmp/client.ts';
import { waitWithin } from '../host/wait-within.ts';
import type { Protection } from './protection.ts';

/** Limit in milliseconds for QEMU's end: after its answer to `quit`, QEMU still has to close its disks. */
const QUIT_MS = 60_000;

export interface Finished {
  /** QEMU's run state of the guest; undefined when QEMU has quit, or does not tell. */
  readonly runState: string | undefined;
  /** Failures after the save, in words. */
  readonly warnings: readonly string[];
}

export interface Ending {
  readonly after: AfterSave;
  /** The snapshot's path; undefined when it is in no file of this host. */
  readonly path: string | undefined;
  /** The settings that the save has changed, with their former values. */
  readonly before: Settings;
}

/**
 * Brings QEMU to its final state after a save that has worked. A failure becomes a warning, because the snapshot is
 * there; only the loss of the guest is an error.
 * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU has died, and was not to end
 */
export async function finish(
  qmp: QmpClient,
  { after, path, before }: Ending,
  protection: Protection,
): Promise<Finished> {
  const warnings: string[] = [];
  const warn = (what: string, problem: unknown): void => {
    warnings.push(`the snapshot is complete, but ${what}: ${messageOf(problem)}`);
  };
  if (after === 'quit') {
    try {
      await quit(qmp);
      await protection.release();
      return { runState: undefined, warnings };
    } catch (error) {
      warn('QEMU did not quit', error);
    }
  }
  // A guest that ran has been let go before; any other runs now because the caller asked for it.
  const runs = after === 'cont';
  const problem = await protection.finish({ runs, asked: runs, sleeps: false, before });
  if (problem !== undefined) warn('QEMU is not as it was to be', problem);
  try {
    const { status } = await qmp.execute('query-status', undefined, { timeoutMs: QUIT_MS });
    return { runState: status, warnings };
  } catch (error) {
    // A QEMU that was told to quit, and is gone after a delay, has done so.
    if (after !== 'quit' && (await protection.isQemuGone())) {
      const what = path === undefined ? 'what was saved is complete' : 'the snapshot is complete';
      throw new MappedRamError('ERR_MAPPED_RAM_QEMU', `${what}, but the guest is lost: ${messageOf(error)}`, {
        path,
        cause: error,
      });
    }
    warn('QEMU does not say what it does', error);
    return { runState: undefined, warnings };
  }
}

async function quit(qmp: QmpClient): Promise<void> {
  // The filter lets no event through; the stream ends when the connection does.
  const events = qmp.events(() => false);
  const end = events.next().catch(() => undefined);
  try {
    // QEMU may be gone before its answer arrives; only its end counts.
    await qmp.execute('quit', undefined, { timeoutMs: QUIT_MS }).catch((error: unknown) => {
      if (qmp.isOpen) throw error;
    });
    const late = (): Error =>
      new MappedRamError('ERR_MAPPED_RAM_TIMEOUT', `it still runs after ${QUIT_MS / 1000} s`);
    await waitWithin(end, { timeoutMs: QUIT_MS }, late);
  } finally {
    await events.return();
  }
}

/** Gives the seal its name, once the snapshot has its own. A failure becomes a warning. */
export async function publishSeal(
  sealing: Sealing,
): Promise<{ readonly path: string | undefined; readonly warnings: readonly string[] }> {
  try {
    await sealing.publish();
    return { path: sealing.path, warnings: [] };
  } catch (error) {
    return {
      path: undefined,
      warnings: [`the snapshot is complete, but it has no seal: ${messageOf(error)}`],
    };
  }
}
