import { join } from 'node:path';

import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { dataStretch } from './data-file.ts';
import { plainContender } from './plain-contender.ts';

/** Copies a stretch of a file by pieces of 1 MiB: read, write, and fsync for a target on the disk. */
const COPY = `
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

/** Copies as many bytes as the memory has data out of it, into a file of its length on the disk, with fsync. */
export function copyToDisk(files: BenchFiles): Contender {
  const { memory, size, dataBytes } = files;
  const target = join(files.directory, 'copy');
  return plainContender(files, {
    script: COPY,
    place: async () => ({ source: memory, offset: 0, length: dataBytes, target, size, isSynced: true }),
    made: [target],
    onDisk: () => [target],
  });
}

/** Copies the data of the snapshot into a new file in memory. */
export function copyIntoMemory(files: BenchFiles, state: FileState): Contender {
  const target = join(files.memoryDirectory, 'copy');
  const copy = join(files.directory, 'copy.dirty');
  let read = files.snapshot;
  return plainContender(files, {
    script: COPY,
    place: async (signal) => {
      const { path, offset, length } = await dataStretch(files, signal);
      read = await putInState(path, state, copy, signal);
      return { source: read, offset, length, target, size: files.size, isSynced: false };
    },
    made: [target, copy],
    onDisk: () => [read],
  });
}
