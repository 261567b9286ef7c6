import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { dataStretch } from './data-file.ts';
import { foreignContender, type ForeignWork } from './foreign-contender.ts';
import { NODE_STOP, WaitingProgram } from './waiting-program.ts';

/** Copies a stretch of a file by pieces of 1 MiB: read, write, and fsync for a target on the disk. */
const COPY = `${NODE_STOP}
const { ftruncateSync, fsyncSync, openSync, readSync, writeSync } = require('node:fs');
const { source, offset, length, target, size, isSynced } = JSON.parse(process.argv[1]);
const piece = Buffer.alloc(1 << 20);
stop();
const [from, to] = [openSync(source, 'r'), openSync(target, 'wx')];
ftruncateSync(to, size);
for (let done = 0; done < length; ) {
  const got = readSync(from, piece, 0, Math.min(piece.length, length - done), offset + done);
  if (got === 0) throw new Error(source + ' ends early');
  for (let put = 0; put < got; ) put += writeSync(to, piece, put, got - put, done + put);
  done += got;
}
if (isSynced) fsyncSync(to);
stop();`;

interface CopyPlace {
  readonly source: string;
  /** Bytes from the source's start. */
  readonly offset: number;
  readonly length: number;
  readonly target: string;
  /** The target's length in bytes. */
  readonly size: number;
  readonly isSynced: boolean;
}

/** Copies as many bytes as the memory has data out of it, into a file of its length on the disk, with fsync. */
export function copyToDisk(files: BenchFiles): Contender {
  const { memory, size, dataBytes } = files;
  const target = join(files.directory, 'copy');
  return copyContender(files, {
    place: async () => ({ source: memory, offset: 0, length: dataBytes, target, size, isSynced: true }),
    target,
    onDisk: () => target,
  });
}

/** Copies the data of the snapshot into a new file in memory. */
export function copyIntoMemory(files: BenchFiles, state: FileState): Contender {
  const target = join(files.memoryDirectory, 'copy');
  const copy = join(files.directory, 'copy.dirty');
  let read = files.snapshot;
  return copyContender(files, {
    place: async (signal) => {
      const { path, offset, length } = await dataStretch(files, signal);
      read = await putInState(path, state, copy, signal);
      return { source: read, offset, length, target, size: files.size, isSynced: false };
    },
    target,
    copy,
    onDisk: () => read,
  });
}

interface CopyWork {
  readonly place: (signal: AbortSignal) => Promise<CopyPlace>;
  readonly target: string;
  /** The copy of the source that is dirty. */
  readonly copy?: string;
  readonly onDisk: () => string;
}

function copyContender(files: BenchFiles, { place, target, copy, onDisk }: CopyWork): Contender {
  let program: WaitingProgram | undefined;
  const clear = async (): Promise<void> => {
    await program?.[Symbol.asyncDispose]();
    program = undefined;
    for (const path of [target, copy]) if (path !== undefined) await rm(path, { force: true });
  };
  const work: ForeignWork = {
    prepare: async (signal) => {
      await clear();
      const args = ['-e', COPY, JSON.stringify(await place(signal))];
      const started = new WaitingProgram({
        command: process.execPath,
        args,
        directory: files.directory,
        signal,
      });
      program = started;
      await started.untilStopped();
    },
    files: () => [onDisk()],
    run: async (watch) => {
      const copying = program;
      if (copying === undefined) throw new TypeError('run before prepare');
      const milliseconds = await watch(copying.pid, async () => {
        const startedAt = performance.now();
        copying.goOn();
        await copying.untilStopped();
        return performance.now() - startedAt;
      });
      copying.goOn();
      await copying.untilEnd();
      return { milliseconds, dataBytes: files.dataBytes };
    },
    clear,
    [Symbol.asyncDispose]: clear,
  };
  const settings = { requestSize: 1 << 20, directIo: false };
  return foreignContender({ name: 'copy', program: 'copy', settings }, files.size, work);
}
