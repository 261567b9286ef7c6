import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { MappedRamError } from '../errors.ts';
import type { WaitOptions } from '../host/wait-within.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { FdMigrationAddress } from '../uri/migration-address.ts';
import { getFd } from './descriptors.ts';

const CLOSE_MS = 5000;
const MODE = 0o600;

export interface NamedFdOptions extends WaitOptions {
  readonly path: string;
  readonly access: 'read' | 'write';
}

/**
 * A file that this process opened for a QEMU that knows no files as transport (before 8.2): QEMU gets one descriptor
 * under a name, and writes or reads it from its beginning on (docs/format.md §5.2). Nothing stays open in this process.
 * A migration takes the descriptor; disposal closes one that none has taken.
 */
export class NamedFd implements AsyncDisposable {
  readonly address: FdMigrationAddress;
  readonly #qmp: QmpClient;

  private constructor(qmp: QmpClient, name: string) {
    this.#qmp = qmp;
    this.address = { transport: 'socket', type: 'fd', str: name };
  }

  /**
   * Opens the file as QEMU itself would, and hands the descriptor over. Writing begins with an empty file, which is made
   * if there is none (mode 0600).
   *
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when the file cannot be opened; ERR_MAPPED_RAM_UNSUPPORTED when the
   *   connection cannot carry descriptors, and as {@link QmpClient.execute}
   */
  static async open(qmp: QmpClient, { path, access, ...wait }: NamedFdOptions): Promise<NamedFd> {
    const flags =
      access === 'read' ? constants.O_RDONLY : constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
    const file = await open(path, flags, MODE).catch((cause: unknown) => {
      throw new MappedRamError('ERR_MAPPED_RAM_IO', 'cannot open the file for QEMU', { path, cause });
    });
    const named = new NamedFd(qmp, `mapped-ram-${randomUUID()}`);
    try {
      await getFd(qmp, file.fd, named.address.str, wait);
      return named;
    } catch (error) {
      // A question that was given up may have reached QEMU.
      await named.close();
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Closes the descriptor in QEMU, if no migration has taken it. May be called again. */
  async close(): Promise<void> {
    const fdname = this.address.str;
    // QEMU refuses a name that is gone; a QEMU that is gone itself has closed everything.
    await this.#qmp.execute('closefd', { fdname }, { timeoutMs: CLOSE_MS }).catch(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
