import type { ChildProcess } from 'node:child_process';

/** Characters that are kept. */
const KEPT_STDERR = 64 * 1024;

/** The end of what a process has written to stderr. */
export class StderrTail {
  text = '';

  constructor(child: ChildProcess) {
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.text = (this.text + chunk).slice(-KEPT_STDERR);
    });
  }
}
