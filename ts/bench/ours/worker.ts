import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { MappedRamError, messageOf } from '../../errors.ts';
import { deferred } from '../../host/deferred.ts';
import { killAtExit } from '../../host/kill-at-exit.ts';
import type { Job, JobFigures, JobReply, OurWork, WorkerWord } from './job.ts';

/** A process that does the work of this package's contender, so that nothing else is in its figures. */
export class OurWorker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;
  readonly #ready: Promise<WorkerWord>;

  private constructor(child: ChildProcess) {
    const exit = deferred<string>();
    child.once('error', (error) => exit.resolve(messageOf(error)));
    child.once('exit', (code, signal) => exit.resolve(`it ended with ${signal ?? code}`));
    const ready = deferred<WorkerWord>();
    child.once('message', ready.resolve);
    this.#child = child;
    this.#exited = exit.promise;
    this.#ready = ready.promise;
    killAtExit(child);
  }

  /** Starts a process, which loads the code of a kind of work. */
  static start(work: OurWork): OurWorker {
    // The program has the same name in the sources and in the build. Only the sources need the loader of this process.
    const extension = extname(import.meta.url);
    const main = fileURLToPath(new URL(`worker-main${extension}`, import.meta.url));
    const execArgv = extension === '.ts' ? process.execArgv : [];
    // The worker is in a process group of its own: Ctrl-C is for this process.
    return new OurWorker(
      fork(main, [work], { execArgv, detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Waits until the worker has loaded its code.
   * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when the worker ends; the signal's reason
   */
  async ready(signal: AbortSignal): Promise<void> {
    await this.#unlessGone(this.#ready, signal);
  }

  /**
   * Lets the worker do a job. An abort ends the worker.
   * @throws {MappedRamError} with the code and the words of the job's error; ERR_MAPPED_RAM_INTERNAL when the worker
   * ends; the signal's reason
   */
  async run(job: Job, signal: AbortSignal): Promise<JobFigures> {
    await this.ready(signal);
    const answer = deferred<JobReply>();
    this.#child.once('message', answer.resolve);
    try {
      this.#child.send(job, () => undefined);
      const reply = await this.#unlessGone(answer.promise, signal);
      if ('error' in reply) throw new MappedRamError(reply.error.code, reply.error.words);
      return reply.figures;
    } finally {
      this.#child.off('message', answer.resolve);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A job that is under way ends with its process; whatever it has written lies in folders that go, too.
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Waits for a word of the worker. An abort ends the worker. */
  async #unlessGone<T>(word: Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const stop = (): boolean => this.#child.kill('SIGKILL');
    signal.addEventListener('abort', stop, { once: true });
    try {
      const gone = this.#exited.then((how) => {
        throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', `the process that does the work is gone: ${how}`);
      });
      return await Promise.race([word, gone]);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
