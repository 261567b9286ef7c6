import { randomUUID } from 'node:crypto';
import { chown, mkdtemp, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MappedRamError, messageOf } from '../../errors.ts';

/** A directory in which QEMU listens on a unix socket. Only QEMU and this process may look into it. */
export class MeetingPlace implements AsyncDisposable {
  /** The socket's path. Nobody has made it yet. */
  readonly path: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, randomUUID());
  }

  /**
   * Makes a place where this process can meet a QEMU.
   * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the two have no directory in common, or it is not known
   */
  static async make(pid: number | undefined): Promise<MeetingPlace> {
    const user = pid === undefined ? undefined : await userOf(pid);
    if (pid === undefined || user === undefined)
      throw apart("QEMU's process is not known or cannot be looked at");
    if ((await rootOf(pid)) !== (await rootOf('self'))) throw apart('QEMU is in a container of its own');
    const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-'));
    const place = new MeetingPlace(directory);
    try {
      if (user !== process.geteuid?.()) await chown(directory, user, -1);
      return place;
    } catch (cause) {
      await place[Symbol.asyncDispose]();
      throw apart(`QEMU runs as another user (${user}), and ${messageOf(cause)}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The user as whom a process makes files. */
async function userOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  const user = /^Uid:\s+\d+\s+(?<user>\d+)/m.exec(status)?.groups?.['user'];
  return user === undefined ? undefined : Number(user);
}

/** What a process takes for the root of all paths; undefined when that cannot be seen. */
async function rootOf(pid: number | 'self'): Promise<string | undefined> {
  try {
    const [namespace, root] = await Promise.all([
      readlink(`/proc/${pid}/ns/mnt`),
      readlink(`/proc/${pid}/root`),
    ]);
    return `${namespace} ${root}`;
  } catch {
    return undefined;
  }
}

function apart(why: string): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `mode lazy meets QEMU at a unix socket, for which there is no place: ${why}`,
  );
}
