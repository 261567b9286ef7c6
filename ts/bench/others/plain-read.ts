import { join } from 'node:path';

import type { BenchFiles, Contender } from '../contender.ts';
import type { FileState } from '../figures.ts';
import { putInState } from '../file-state.ts';
import { dataStretch } from './data-file.ts';
import { plainContender } from './plain-contender.ts';

/** Reads stretches of files by pieces of 1 MiB, one file after the other, and throws the bytes away. */
const READ = `
const { openSync, readSync } = require('node:fs');
const sources = JSON.parse(process.argv[1]);
const piece = Buffer.alloc(1 << 20);
stop();
for (const { path, offset, length } of sources) {
  const from = openSync(path, 'r');
  for (let done = 0; done < length; ) {
    const got = readSync(from, piece, 0, Math.min(piece.length, length - done), offset + done);
    if (got === 0) throw new Error(path + ' ends early');
    done += got;
  }
}
stop();`;

/** Reads the data of the snapshot, as a check has to: the copy without its writing half. */
export function plainRead(files: BenchFiles, state: FileState): Contender {
  return reader(files, state, []);
}

/** Reads the data of the snapshot, and all of the memory that it is compared with. */
export function plainReadOfBoth(files: BenchFiles, state: FileState): Contender {
  const { memory: path, size: length } = files;
  return reader(files, state, [{ path, offset: 0, length }]);
}

function reader(files: BenchFiles, state: FileState, more: readonly object[]): Contender {
  const copy = join(files.directory, 'read.dirty');
  let read = files.snapshot;
  return plainContender(files, {
    script: READ,
    place: async (signal) => {
      const { path, offset, length } = await dataStretch(files, signal);
      read = await putInState(path, state, copy, signal);
      return [{ path: read, offset, length }, ...more];
    },
    made: [copy],
    onDisk: () => [read],
  });
}
