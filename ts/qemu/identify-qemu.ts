import { randomUUID } from 'node:crypto';

import { MappedRamError } from '../errors.ts';
import { identityOf, type FileIdentity } from '../host/file-identity.ts';
import { hasOpen } from '../host/process-mappings.ts';
import { descendantsOf, processes } from '../host/process-tree.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import { createStateFile } from '../engine/state-file.ts';
import type { QmpClient } from '../qmp/client.ts';
import { isQmpRefusal } from '../qmp/refusal.ts';

/** The facts about the other end of a QMP connection, as far as they can be seen from here. */
export interface QemuIdentity {
  /**
   * True when a descriptor that was sent over the connection has arrived in QEMU, which then is on this host. A unix
   * socket alone proves nothing: a proxy may be at its other end, and QEMU on another host.
   */
  readonly passesDescriptors: boolean;
  /**
   * QEMU's own process. Undefined when it is not known: it belongs to somebody else, is in a namespace that this
   * process does not see, or is on another host.
   */
  readonly pid: number | undefined;
}

const known = new WeakMap<QmpClient, Promise<QemuIdentity>>();

/**
 * Finds out which process answers on a connection, and whether descriptors get there: gives QEMU a file that nobody
 * else has, and looks where that file turns up. QEMU closes it again. The process that was started need not be QEMU
 * (`timeout`, `unshare`, a script), nor the one at the other end of the socket (a proxy, a supervisor that listened for
 * QEMU). The answer is kept for the connection.
 * @throws {MappedRamError} as {@link QmpClient.execute}, except for QEMU's refusal
 */
export async function identifyQemu(qmp: QmpClient, wait: WaitOptions = {}): Promise<QemuIdentity> {
  const earlier = known.get(qmp);
  if (earlier !== undefined) return earlier;
  const identity = identify(qmp, wait);
  known.set(qmp, identity);
  try {
    return await identity;
  } catch (error) {
    known.delete(qmp);
    throw error;
  }
}

async function identify(qmp: QmpClient, wait: WaitOptions): Promise<QemuIdentity> {
  if (!qmp.passesDescriptors) return toldBy(qmp, wait);
  await using mark = await createStateFile([]);
  // QEMU accepts only names that do not begin with a digit.
  const fdname = `mapped-ram-${randomUUID()}`;
  try {
    await qmp.execute('getfd', { fdname }, { ...wait, fd: mark.fd });
  } catch (error) {
    if (isNoPassage(error)) return toldBy(qmp, wait);
    throw error;
  }
  try {
    const identity = identityOf(mark.fd);
    return { passesDescriptors: true, pid: identity && holderOf(identity, qmp) };
  } finally {
    // QEMU closes the descriptor with the connection, too.
    await qmp.execute('closefd', { fdname }, wait).catch(() => undefined);
  }
}

/** Without descriptors there is only the word of the caller that has started QEMU. */
async function toldBy(qmp: QmpClient, wait: WaitOptions): Promise<QemuIdentity> {
  // A connection that ends passes nothing, either, and has a better error.
  await qmp.execute('query-status', undefined, wait);
  return { passesDescriptors: false, pid: qmp.pid };
}

/** QEMU says that no descriptor came, or the connection cannot carry any. */
function isNoPassage(error: unknown): boolean {
  return (
    isQmpRefusal(error) || (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_UNSUPPORTED')
  );
}

/** The process that has the file; the likely ones are looked at first, because there may be thousands. */
function holderOf(file: FileIdentity, { pid, peerPid }: QmpClient): number | undefined {
  const likely = [pid, peerPid].filter((candidate) => candidate !== undefined);
  const has = (candidate: number): boolean => candidate !== process.pid && hasOpen(candidate, file) === true;
  return (
    likely.find(has) ??
    likely.flatMap((candidate) => descendantsOf(candidate)).find(has) ??
    processes().find(has)
  );
}
