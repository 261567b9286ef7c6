import { Duplex, PassThrough } from 'node:stream';

import { isQmpObject, parseQmpJson, type QmpObject, type QmpValue } from '../../ts/qmp/json.ts';

const GREETING =
  '{"QMP":{"version":{"qemu":{"major":10,"minor":1,"micro":2},"package":""},"capabilities":[]}}\r\n';

export type QmpPeerCommand = QmpObject & { readonly id: number };

/** The other end of a QMP connection: a test plays QEMU by hand. */
export class QmpPeer {
  readonly toClient: PassThrough = new PassThrough();
  readonly fromClient: PassThrough = new PassThrough();
  readonly stream: Duplex = Duplex.from({ readable: this.toClient, writable: this.fromClient });
  readonly commands: QmpPeerCommand[] = [];

  constructor() {
    this.toClient.write(GREETING);
    this.fromClient.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trim().split('\n')) this.#take(parseQmpJson(line));
    });
  }

  say(text: string): void {
    this.toClient.write(text);
  }

  async command(index: number): Promise<QmpPeerCommand> {
    for (;;) {
      const command = this.commands[index];
      if (command !== undefined) return command;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #take(command: QmpValue): void {
    if (!isQmpObject(command) || typeof command['id'] !== 'number') return;
    const { id } = command;
    if (command['execute'] === 'qmp_capabilities') this.say(`{"return":{},"id":${id}}\n`);
    else this.commands.push({ ...command, id });
  }
}
