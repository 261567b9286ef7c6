import { rm } from 'node:fs/promises';

import type { BenchFiles, Contender } from '../contender.ts';
import { foreignContender, type ForeignWork } from './foreign-contender.ts';
import { NODE_STOP, WaitingProgram } from './waiting-program.ts';

/** A plain program, which knows nothing of the format and uses the page cache. */
export interface PlainProgram {
  /** Evaluated by a Node of its own, which has `stop()`; its argument is what `place` returns, as JSON. */
  readonly script: string;
  /** Puts the files in place for a round, and says where they are. */
  readonly place: (signal: AbortSignal) => Promise<object>;
  /** Files that a round makes, and that have to go. */
  readonly made: readonly string[];
  /** The files on the disk that the next round writes or reads. */
  readonly onDisk: () => readonly string[];
}

/** Makes the contender that always exists: it needs no program but Node, and nothing of the kernel or the filesystem. */
export function plainContender(files: BenchFiles, plain: PlainProgram): Contender {
  let program: WaitingProgram | undefined;
  const clear = async (): Promise<void> => {
    await program?.[Symbol.asyncDispose]();
    program = undefined;
    for (const path of plain.made) await rm(path, { force: true });
  };
  const work: ForeignWork = {
    prepare: async (signal) => {
      await clear();
      const args = ['-e', NODE_STOP + plain.script, JSON.stringify(await plain.place(signal))];
      const started = new WaitingProgram({
        command: process.execPath,
        args,
        directory: files.directory,
        signal,
      });
      program = started;
      await started.untilStopped();
    },
    files: plain.onDisk,
    run: async (watch) => {
      const running = program;
      if (running === undefined) throw new TypeError('run before prepare');
      const milliseconds = await watch(running.pid, async () => {
        const startedAt = performance.now();
        running.goOn();
        await running.untilStopped();
        return performance.now() - startedAt;
      });
      running.goOn();
      await running.untilEnd();
      return { milliseconds, dataBytes: files.dataBytes };
    },
    clear,
    [Symbol.asyncDispose]: clear,
  };
  const settings = { requestSize: 1 << 20, directIo: false };
  return foreignContender({ name: 'copy', program: 'copy', settings }, files.size, work);
}
