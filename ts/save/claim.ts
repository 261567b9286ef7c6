import { readFile, readlink } from 'node:fs/promises';

import { MappedRamError, systemCode } from '../errors.ts';
import type { QmpClient } from '../qmp/client.ts';
import { answerOf, isQmpRefusal } from '../qmp/refusal.ts';
import type { WaitOptions } from '../host/wait-within.ts';

/**
 * The object that marks a guest in QEMU as being saved. It holds nothing but the saver's identity. QEMU makes only one
 * object of a name, whichever of its monitors asks.
 */
const OBJECT = 'mapped-ram-save';
/** The QMP command that removes the object. */
const REMOVAL = JSON.stringify({ execute: 'object-del', arguments: { id: OBJECT } });
const PATH = `/objects/${OBJECT}`;

/** `no-objects`: this QEMU makes no such object, so that nobody is kept out. */
export type Claim = 'claimed' | 'no-objects';

/**
 * Claims a guest for one save. Each of two saves at once would take the other's settings for the guest's own, and the
 * one that fails would cancel the other's migration.
 *
 * @param tag the mark of this save
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when somebody else has claimed the guest, and as {@link
 * QmpClient.execute}
 */
export async function claimGuest(qmp: QmpClient, tag: string, wait: WaitOptions): Promise<Claim> {
  const self = await identity();
  if (await add(qmp, `${tag} ${self}`, wait)) return 'claimed';
  const data = await claimant(qmp, wait);
  if (data === undefined) return 'no-objects';
  if (isGone(data, self)) {
    await removeObject(qmp, wait);
    if (await add(qmp, `${tag} ${self}`, wait)) return 'claimed';
  }
  throw taken(data);
}

/**
 * Refuses to look at a guest in the middle of a save: the save changes the guest, and the look would end in wrong
 * conclusions.
 * @throws {MappedRamError} ERR_MAPPED_RAM_BUSY when somebody has claimed the guest, and as {@link QmpClient.execute}
 */
export async function refuseIfClaimed(qmp: QmpClient, wait: WaitOptions): Promise<void> {
  const data = await claimant(qmp, wait);
  if (data !== undefined && !isGone(data, await identity())) throw taken(data);
}

/** True when the save with this tag has the guest. @throws {MappedRamError} as {@link QmpClient.execute} */
export async function hasClaim(qmp: QmpClient, tag: string, wait: WaitOptions): Promise<boolean> {
  return (await claimant(qmp, wait))?.startsWith(`${tag} `) === true;
}

/** Removes the claim, if it belongs to this save. @throws {MappedRamError} as {@link QmpClient.execute} */
export async function removeClaim(qmp: QmpClient, tag: string, wait: WaitOptions): Promise<void> {
  if (await hasClaim(qmp, tag, wait)) await removeObject(qmp, wait);
}

async function add(qmp: QmpClient, data: string, wait: WaitOptions): Promise<boolean> {
  // Every QEMU has this kind of object, alone among those that hold a text.
  return isDone(qmp.execute('object-add', { 'qom-type': 'secret', id: OBJECT, data }, wait));
}

async function removeObject(qmp: QmpClient, wait: WaitOptions): Promise<void> {
  await isDone(qmp.execute('object-del', { id: OBJECT }, wait));
}

async function claimant(qmp: QmpClient, wait: WaitOptions): Promise<string | undefined> {
  const data = await answerOf(qmp.execute('qom-get', { path: PATH, property: 'data' }, wait));
  return typeof data === 'string' ? data : undefined;
}

async function isDone(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (isQmpRefusal(error)) return false;
    throw error;
  }
}

/**
 * Identifies this process to others on any host: its number is valid only on the host and in the namespace that gave
 * it.
 */
async function identity(): Promise<string> {
  const [boot, namespace] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ]);
  return `${process.pid} ${boot.trim() || 'unknown'} ${namespace || 'unknown'}`;
}

/** True when a claimant is gone. The process can be looked up only if it was started on this host. */
function isGone(data: string, self: string): boolean {
  const [, pid, ...where] = data.split(' ');
  const here = self.split(' ').slice(1).join(' ');
  if (where.join(' ') !== here || here.includes('unknown')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}

function taken(data: string): MappedRamError {
  const [, pid] = data.split(' ');
  return new MappedRamError(
    'ERR_MAPPED_RAM_BUSY',
    `a save of this guest is under way already, by process ${pid}; should that be gone, remove what it has left in QEMU: ${REMOVAL}`,
  );
}
