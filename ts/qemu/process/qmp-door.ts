import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { peerPid } from '../../engine/descriptors.ts';
import { deferred } from '../../host/deferred.ts';
import { descendantsOf } from '../../host/process-tree.ts';
import { QmpWriter } from '../../qmp/writer.ts';

/**
 * A unix socket to which a QEMU connects that cannot inherit one. QEMU may run as another user, so anybody may knock;
 * only a process that this one has started is let in.
 */
export class QmpDoor implements AsyncDisposable {
  /** The socket's path, for QEMU. */
  readonly path: string;
  readonly #directory: string;
  readonly #server: Server;

  private constructor(directory: string, path: string, server: Server) {
    this.#directory = directory;
    this.path = path;
    this.#server = server;
  }

  /** @throws the system's error when the socket cannot be made */
  static async open(): Promise<QmpDoor> {
    const directory = await mkdtemp(join(tmpdir(), 'mapped-ram-qmp-'));
    const server = createServer();
    const door = new QmpDoor(directory, join(directory, randomUUID()), server);
    try {
      // Others may pass through the directory, and not look into it.
      await chmod(directory, 0o711);
      server.listen(door.path);
      await once(server, 'listening');
      await chmod(door.path, 0o666);
      return door;
    } catch (error) {
      await door[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits for the first connection from a process, or from one below it. */
  async welcome(pid: number): Promise<Socket> {
    const arrived = deferred<Socket>();
    this.#server.on('connection', (socket) => {
      const { descriptor } = new QmpWriter(socket);
      const peer = descriptor === undefined ? undefined : peerPid(descriptor);
      if (peer !== undefined && (peer === pid || descendantsOf(pid).includes(peer))) arrived.resolve(socket);
      else socket.destroy();
    });
    return arrived.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
