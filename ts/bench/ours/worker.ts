import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { MappedRamError, messageOf } from '../../errors.ts';
import { deferred } from '../../host/deferred.ts';
import { killAtExit } from '../../host/kill-at-exit.ts';
import type { Job, JobFigures, JobReply } from './job.ts';

/** A process that does the work of this package's contender, so that nothing else is in its figures. */
export class OurWorker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;

  private constructor(child: ChildProcess) {
    const exit = deferred<string>();
    child.once('error', (error) => exit.resolve(messageOf(error)));
    child.once('exit', (code, signal) => exit.resolve(`it ended with ${signal ?? code}`));
    this.#child = child;
    this.#exited = exit.promise;
    killAtExit(child);
  }

  static start(): OurWorker {
    // The program has the same name in the sources and in the build. Only the sources need the loader of this process.
    const extension = extname(import.meta.url);
    const main = fileURLToPath(new URL(`worker-main${extension}`, import.meta.url));
    const execArgv = extension === '.ts' ? process.execArgv : [];
    // The worker is in a process group of its own: Ctrl-C is for this process.
    return new OurWorker(
      fork(main, [], { execArgv, detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Lets the worker do a job. An abort ends the worker.
   * @throws {MappedRamError} with the code and the words of the job's error; ERR_MAPPED_RAM_INTERNAL when the worker
   * ends; the signal's reason
   */
  async run(job: Job, signal: AbortSignal): Promise<JobFigures> {
    signal.throwIfAborted();
    const stop = (): boolean => this.#child.kill('SIGKILL');
    signal.addEventListener('abort', stop, { once: true });
    const answer = deferred<JobReply>();
    this.#child.once('message', answer.resolve);
    try {
      this.#child.send(job, () => undefined);
      const gone = this.#exited.then((how) => {
        throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `the process that does the work is gone: ${how}`);
      });
      const reply = await Promise.race([answer.promise, gone]);
      if ('error' in reply) throw new MappedRamError(reply.error.code, reply.error.words);
      return reply.figures;
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#child.off('message', answer.resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A job that is under way ends with its process; whatever it has written lies in folders that go, too.
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
