import { spawn, type StdioOptions } from 'node:child_process';

import type { QmpClient } from '../../qmp/client.ts';

/** Descriptor 3 is the connection to QEMU, which forgets what it has not carried out when the connection closes. */
const SCRIPT = `read -r _ || { printf '{"execute":"cont"}\\n' >&3; sleep 2; }`;

/**
 * Lets a guest go on should this process be killed before `revoke`: a small program has the connection to QEMU, too, and
 * sees this process end. A Node would take longer to start than all that it is for. Where there can be none, nothing
 * happens.
 */
export class LastWill {
  readonly #kill: () => void;

  constructor({ descriptor }: QmpClient) {
    if (descriptor === undefined) {
      this.#kill = () => undefined;
      return;
    }
    // It is in a process group of its own: Ctrl-C is for this process.
    const stdio: StdioOptions = ['pipe', 'ignore', 'ignore', descriptor];
    const program = spawn('/bin/sh', ['-c', SCRIPT], { detached: true, stdio });
    program.on('error', () => undefined);
    program.stdin?.on('error', () => undefined);
    this.#kill = () => program.kill('SIGKILL');
  }

  /** Ends the program without work. */
  revoke(): void {
    this.#kill();
  }
}
