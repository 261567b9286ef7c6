import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const START_MS = 10_000;

/** A TPM for one QEMU. `await using tpm = await startSwtpm(directory)`. */
export class Swtpm implements AsyncDisposable {
  /** The socket on which QEMU finds the TPM. */
  readonly socket: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(socket: string, child: ChildProcess) {
    this.socket = socket;
    this.#child = child;
    this.#exited = once(child, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#exited;
    }
  }
}

/** @param directory an empty directory for the TPM's state and its socket */
export async function startSwtpm(directory: string): Promise<Swtpm> {
  const socket = join(directory, 'socket');
  const args = ['socket', '--tpm2', '--tpmstate', `dir=${directory}`, '--ctrl', `type=unixio,path=${socket}`];
  const tpm = new Swtpm(socket, spawn('swtpm', args, { stdio: 'ignore' }));
  const deadline = Date.now() + START_MS;
  while (!existsSync(socket)) {
    if (Date.now() > deadline) {
      await tpm[Symbol.asyncDispose]();
      throw new Error('swtpm does not listen');
    }
    await delay(10);
  }
  return tpm;
}
