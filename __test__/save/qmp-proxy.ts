import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A proxy between a client and a QMP server, which can drop the connections to both. */
export class QmpProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param path the socket on which the proxy listens @param behind the unix socket of the server */
  static async listen(path: string, behind: string): Promise<QmpProxy> {
    const server = createServer();
    const proxy = new QmpProxy(server);
    server.on('connection', (near) => {
      const far = connect(behind);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        proxy.#sockets.add(socket);
        socket.pipe(other);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          other.destroy();
          proxy.#sockets.delete(socket);
        });
      }
    });
    server.listen(path);
    await once(server, 'listening');
    return proxy;
  }

  /** Drops every connection, but goes on to take new ones. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
