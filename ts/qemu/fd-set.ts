import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError } from '../errors.ts';
import { addFd, removeFd } from './descriptors.ts';
import { fdAccess, formatFdAccess } from '../host/fd-access.ts';
import type { FdsetInfo } from '../qmp/qapi.generated.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WaitOptions } from '../host/wait-within.ts';

const CLEANUP_MS = 5000;
const POLL_MS = 5;
const MODE = 0o600;

export interface FdSetOptions extends WaitOptions {
  readonly path: string;
  /** `write` makes the file if there is none (mode 0600), as QEMU would. The file is not truncated. */
  readonly access: 'read' | 'write';
  /** Adds a descriptor with O_DIRECT, which QEMU needs beside the other when its parameter direct-io is on. */
  readonly direct: boolean;
  /** The tag that {@link FdSet.of} takes. */
  readonly tag?: string | undefined;
}

/**
 * A file that this process opened for QEMU. QEMU gets a set of descriptors with the access modes that it looks for,
 * each opened separately (docs/format.md §5.3), and so needs no right to the path. Nothing stays open in this process.
 * Disposal takes the set away from QEMU. Dispose of the set when the migration is over, whichever way, and not before:
 * QEMU opens the file once for every channel, and QEMU 10.0 dies when it finds no descriptor at the beginning of a
 * save.
 */
export class FdSet implements AsyncDisposable {
  /** The N of `/dev/fdset/N`. */
  readonly id: number;
  readonly #qmp: QmpClient;
  readonly #tag: string;
  #isGone = false;

  private constructor(qmp: QmpClient, id: number, tag: string) {
    this.#qmp = qmp;
    this.#tag = tag;
    this.id = id;
  }

  /**
   * Opens a file and hands the descriptors over.
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be opened, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE
   *   when it cannot be opened with O_DIRECT, and as {@link FdSet.of}
   */
  static async open(qmp: QmpClient, { path, access, direct, tag, ...wait }: FdSetOptions): Promise<FdSet> {
    const handles: FileHandle[] = [];
    try {
      const flags = access === 'read' ? constants.O_RDONLY : constants.O_WRONLY;
      handles.push(await openFor(path, access === 'read' ? flags : flags | constants.O_CREAT));
      if (direct) handles.push(await openDirect(path, flags));
      return await FdSet.of(
        qmp,
        handles.map(({ fd }) => fd),
        wait,
        tag,
      );
    } finally {
      await Promise.all(handles.map((handle) => handle.close()));
    }
  }

  /**
   * Makes a set of descriptors that the caller has open; they stay the caller's. When this rejects, QEMU keeps none of
   * them.
   *
   * @param tag the mark by which {@link removeFdSet} finds the set again, in this process or another
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the connection cannot carry descriptors, and as {@link
   *   QmpClient.execute}
   */
  static async of(
    qmp: QmpClient,
    fds: readonly number[],
    wait: WaitOptions = {},
    // The tag finds the set again when add-fd is given up before QEMU's answer tells the number.
    tag: string = newFdSetTag(),
  ): Promise<FdSet> {
    let fdset: number | undefined;
    try {
      for (const fd of fds) {
        const access = await fdAccess('self', fd);
        const opaque = access === undefined ? tag : `${formatFdAccess(access)} ${tag}`;
        ({ fdsetId: fdset } = await addFd(qmp, fd, { ...wait, fdset, opaque }));
      }
    } catch (error) {
      await removeFdSet(qmp, tag);
      throw error;
    }
    if (fdset !== undefined) return new FdSet(qmp, fdset, tag);
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'a set needs at least one descriptor');
  }

  /** The file's name for QEMU. */
  get filename(): string {
    return `/dev/fdset/${this.id}`;
  }

  /**
   * Takes the set away from QEMU, unless the set or QEMU is gone. Waits a little for channels that still use it. May be
   * called again.
   */
  async close(): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = await removeFdSet(this.#qmp, this.#tag);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export function newFdSetTag(): string {
  return `mapped-ram-${randomUUID()}`;
}

/**
 * Takes the set with a tag away from QEMU, if QEMU has one. A QEMU that does not answer is no error here, unless the
 * caller is to know.
 * @returns true when QEMU has the set no more; false when that is not known
 * @throws {MappedRamError} ERR_MAPPED_RAM_TIMEOUT with `tellsLate`
 */
export async function removeFdSet(qmp: QmpClient, tag: string, tellsLate = false): Promise<boolean> {
  const endsAt = Date.now() + CLEANUP_MS;
  try {
    const id = await findSet(qmp, ({ fds }) => fds.some(({ opaque }) => opaque?.endsWith(tag) === true));
    if (id === undefined) return true;
    await removeFd(qmp, id, { timeoutMs: CLEANUP_MS });
    // QEMU keeps the set, empty, while channels still have duplicates.
    const isEmptied = ({ 'fdset-id': left, fds }: FdsetInfo): boolean =>
      Number(left) === id && fds.length === 0;
    while (Date.now() < endsAt) {
      if ((await findSet(qmp, isEmptied)) === undefined) return true;
      await delay(POLL_MS);
    }
    return false;
  } catch (error) {
    const isLate = error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_TIMEOUT';
    if (isLate && tellsLate) throw error;
    // Either QEMU is gone, and its descriptors with it; or QEMU does not answer, and nothing can be done.
    return false;
  }
}

async function findSet(qmp: QmpClient, matches: (set: FdsetInfo) => boolean): Promise<number | undefined> {
  const sets = await qmp.execute('query-fdsets', undefined, { timeoutMs: CLEANUP_MS });
  const found = sets.find(matches);
  return found && Number(found['fdset-id']);
}

async function openFor(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags, MODE);
  } catch (cause) {
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot open the file for QEMU', { path, cause });
  }
}

async function openDirect(path: string, flags: number): Promise<FileHandle> {
  try {
    // The constant is missing where the platform has no O_DIRECT.
    if (typeof constants.O_DIRECT === 'number') return await open(path, flags | constants.O_DIRECT);
  } catch (cause) {
    throw directUnavailable(path, cause);
  }
  throw directUnavailable(path, undefined);
}

function directUnavailable(path: string, cause: unknown): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
    'cannot open the file with O_DIRECT for QEMU',
    { path, cause },
  );
}
