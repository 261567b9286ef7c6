import { createStateFile } from '../../engine/state-file.ts';
import { MappedRamError } from '../../errors.ts';
import type { WaitOptions } from '../../host/wait-within.ts';
import type { AnonymousFile } from '../../io/anonymous-file.ts';
import { FileReader } from '../../io/file-reader.ts';
import { QmpClient } from '../../qmp/client.ts';
import { isQmpRefusal } from '../../qmp/refusal.ts';
import { FdSet, newFdSetTag, removeFdSet } from '../fd-set.ts';
import { type DeviceStateFacts, obstacleTo, queryDeviceStateFacts } from './device-state-facts.ts';

/** Limit in milliseconds for a QEMU that has lost a connection to accept the next. */
const RECONNECT_MS = 5000;

export interface DeviceStateOptions extends WaitOptions {
  /**
   * The tag of the descriptor that QEMU is given, when the caller takes the descriptor back after a lost connection.
   * @default one of its own, which goes over another connection, where the address is known
   */
  readonly tag?: string | undefined;
  /** The answers of QEMU to `queryDeviceStateFacts`, where the caller has just asked. @default QEMU is asked */
  readonly facts?: DeviceStateFacts | undefined;
}

/**
 * The file that QEMU writes its device state into, without a byte of the guest's memory (docs/format.md §4.4). What
 * takes time is done before the guest is stopped. Disposal takes the descriptor away from QEMU, and drops the file.
 */
export class DeviceState implements AsyncDisposable {
  readonly #qmp: QmpClient;
  readonly #file: AnonymousFile;
  readonly #set: FdSet;
  /** The tag for which nobody else answers. */
  readonly #ownTag: string | undefined;

  private constructor(qmp: QmpClient, file: AnonymousFile, set: FdSet, ownTag: string | undefined) {
    this.#qmp = qmp;
    this.#file = file;
    this.#set = set;
    this.#ownTag = ownTag;
  }

  /**
   * Makes sure that QEMU can write its device state, and hands it the file for that. Changes nothing else in QEMU.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED, in words, when QEMU cannot or must not be asked for device
   *   state, or cannot be handed a file; ERR_MAPPED_RAM_QEMU when it refuses the file; as {@link QmpClient.execute}
   */
  static async ready(qmp: QmpClient, { tag, facts, ...wait }: DeviceStateOptions = {}): Promise<DeviceState> {
    assertCanWrite(facts ?? (await queryDeviceStateFacts(qmp, wait)));
    if (!qmp.passesDescriptors) {
      const words = 'QEMU cannot be handed a file for its device state over this connection';
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, { expected: 'a unix socket, on Linux' });
    }
    const ownTag = tag === undefined ? newFdSetTag() : undefined;
    const marked = tag ?? ownTag;
    const file = await createStateFile([]);
    try {
      // QEMU opens the file for writing only, and takes no descriptor that can do more.
      const access = { path: file.procPath, access: 'write', direct: false, tag: marked } as const;
      return new DeviceState(qmp, file, await FdSet.open(qmp, { ...access, ...wait }), ownTag);
    } catch (error) {
      await file.close();
      if (!qmp.isOpen && ownTag !== undefined) await removeOverAnother(qmp, ownTag);
      throw error;
    }
  }

  /**
   * Lets QEMU write the device state of a guest that stands still, which takes milliseconds. A guest that runs is stopped
   * by QEMU and goes on before anybody could read its memory. May be called once.
   *
   * A device that no QEMU saves may have been plugged in since, and QEMU dies of it: so QEMU is asked again.
   *
   * @returns a reader, which is valid until disposal
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a device hinders it; ERR_MAPPED_RAM_QEMU when QEMU does not
   *   write; as {@link QmpClient.execute}. After a timeout or the signal QEMU may still write
   */
  async write(wait: WaitOptions = {}): Promise<FileReader> {
    const qmp = this.#qmp;
    const migration = await qmp.execute('query-migrate', undefined, wait);
    assertNotBlocked(migration['blocked-reasons'] ?? []);
    // Unless it is told otherwise, QEMU gives up the disks of a guest that stands still.
    const how = { filename: this.#set.filename, live: false };
    try {
      await qmp.execute('xen-save-devices-state', how, wait);
    } catch (cause) {
      if (!isQmpRefusal(cause)) throw cause;
      const { qmp: reply } = cause;
      throw new MappedRamError('ERR_MAPPED_RAM_QEMU', 'QEMU does not write its device state', {
        qmp: reply,
        cause,
      });
    }
    const reader = await FileReader.over(this.#file.fd);
    if (reader.size > 0) return reader;
    throw new MappedRamError('ERR_MAPPED_RAM_QEMU', 'QEMU has written no device state');
  }

  /** Takes the descriptor away from QEMU. The file stays. May be called again. */
  async takeBack(): Promise<void> {
    const qmp = this.#qmp;
    await this.#set.close();
    // The set was not taken away if the connection was lost meanwhile.
    if (!qmp.isOpen && this.#ownTag !== undefined) await removeOverAnother(qmp, this.#ownTag);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.takeBack();
    } finally {
      await this.#file.close();
    }
  }
}

/**
 * Lets QEMU write the device state of a guest that stands still. QEMU keeps nothing of it.
 * @param use gets a reader, which is valid until the promise of `use` settles
 * @throws {MappedRamError} as `DeviceState.ready` and `DeviceState.write`; whatever `use` throws
 */
export async function withDeviceState<T>(
  qmp: QmpClient,
  options: DeviceStateOptions,
  use: (reader: FileReader) => Promise<T>,
): Promise<T> {
  const { timeoutMs, signal } = options;
  await using state = await DeviceState.ready(qmp, options);
  return use(await state.write({ timeoutMs, signal }));
}

function assertCanWrite(facts: DeviceStateFacts): void {
  const obstacle = obstacleTo(facts);
  if (obstacle !== undefined) throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', obstacle);
}

function assertNotBlocked(blockedReasons: readonly string[]): void {
  assertCanWrite({ hasCommand: true, tellsDevices: true, blockedReasons });
}

/** Takes a set away from a QEMU to which the connection was lost. */
async function removeOverAnother({ server, pid }: QmpClient, tag: string): Promise<void> {
  if (server === undefined) return;
  try {
    await using again = await QmpClient.connect(server, { timeoutMs: RECONNECT_MS, pid });
    await removeFdSet(again, tag);
  } catch {
    // QEMU is gone, and its descriptors with it; or QEMU does not answer, and nothing can be done.
  }
}
