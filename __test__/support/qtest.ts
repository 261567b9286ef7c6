import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** QEMU's own way for tests to play the guest: memory and ports from outside, while the guest's CPUs stand still. */
export class Qtest implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #answers: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#answers = createInterface(socket)[Symbol.asyncIterator]();
  }

  /** @param path the socket of QEMU's `-qtest unix:PATH,server=on,wait=off` */
  static async connect(path: string): Promise<Qtest> {
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Qtest(socket);
  }

  /** Runs a command. Returns the words behind QEMU's `OK`. */
  async run(command: string): Promise<string> {
    this.#socket.write(`${command}\n`);
    const { value } = await this.#answers.next();
    if (typeof value !== 'string' || !value.startsWith('OK')) throw new Error(`qtest ${command}: ${value}`);
    return value.slice(2).trim();
  }

  async write(address: number, bytes: Uint8Array): Promise<void> {
    await this.run(`write 0x${address.toString(16)} ${bytes.length} 0x${Buffer.from(bytes).toString('hex')}`);
  }

  async read(address: number, length: number): Promise<Buffer> {
    const hex = await this.run(`read 0x${address.toString(16)} 0x${length.toString(16)}`);
    return Buffer.from(hex.replace(/^0x/, ''), 'hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
