import { constants } from 'node:fs';
import { access, open, realpath, stat } from 'node:fs/promises';
import { availableParallelism, freemem } from 'node:os';
import { dirname } from 'node:path';

import { messageOf } from '../errors.ts';
import { probe } from '../engine/probe.ts';
import { freeBytesIn } from '../host/filesystem.ts';
import { kindOf } from '../io/file-kind.ts';

/** The answer to whether something is possible, with the reason. */
export interface Possibility {
  readonly possible: boolean;
  /** The reason in words; it may be empty when nothing stands against it. */
  readonly why: string;
}

/** The facts about a file that this host knows without QEMU. */
export interface HostFacts {
  /** Possible when this process can open the file: make a new one beside it for a save, read it for a restore. */
  readonly openable: Possibility;
  /** Possible when the file allows O_DIRECT at the alignment that QEMU keeps to. */
  readonly directIo: Possibility;
  /** The kind of thing that the path names now. */
  readonly kind: 'file' | 'nothing' | 'other';
  /** The kind of `other` in words, with its article. */
  readonly kindWords?: string | undefined;
  /** Bytes of disk that the file takes; 0 when there is none. */
  readonly allocated: number;
  /** Bytes left on the file system of a save; Infinity where the number is not known, or does not matter. */
  readonly freeBytes: number;
  /** Bytes of memory that are available without swapping. */
  readonly availableMemory: number;
  readonly cores: number;
}

/** QEMU writes and reads whole target pages, at offsets that are multiples of them (docs/format.md §2.3). */
const QEMU_ALIGNMENT = 4096;
const POSSIBLE: Possibility = { possible: true, why: '' };

/** Collects the facts. @param path the file's path; undefined when the target is no file with a name */
export async function hostFacts(path: string | undefined, direction: 'save' | 'restore'): Promise<HostFacts> {
  const host = { availableMemory: freemem(), cores: availableParallelism() };
  if (path === undefined) {
    const nothing = impossible('there is no file with a name');
    const none = { kind: 'nothing', allocated: 0, freeBytes: Number.POSITIVE_INFINITY } as const;
    return { ...host, openable: nothing, directIo: nothing, ...none };
  }
  if (direction === 'save' && isOwnDescriptor(path)) {
    const buffered = impossible('the file is written through a descriptor of the caller');
    const file = { kind: 'file', allocated: 0, freeBytes: Number.POSITIVE_INFINITY } as const;
    return { ...host, openable: POSSIBLE, directIo: buffered, ...file };
  }
  const found = await stat(path).catch(() => undefined);
  const kind = found === undefined ? 'nothing' : found.isFile() ? 'file' : 'other';
  const kindWords = kind === 'other' && found !== undefined ? kindOf(found) : undefined;
  const allocated = (found?.blocks ?? 0) * 512;
  if (direction === 'save') {
    // The file is made beside what a link leads to.
    const directory = dirname(await realpath(path).catch(() => path));
    const openable = await canWrite(directory);
    return {
      ...host,
      openable,
      directIo: openable.possible ? directIoIn(directory) : openable,
      kind,
      kindWords,
      allocated,
      freeBytes: await freeBytesIn(directory),
    };
  }
  const openable = await canOpen(path, constants.O_RDONLY);
  const freeBytes = Number.POSITIVE_INFINITY;
  return { ...host, openable, directIo: await canReadDirectly(path), kind, kindWords, allocated, freeBytes };
}

/** True for the path of a descriptor of this process: what it leads to need not be in any directory. */
function isOwnDescriptor(path: string): boolean {
  return path.startsWith(`/proc/${process.pid}/fd/`);
}

async function canWrite(directory: string): Promise<Possibility> {
  return access(directory, constants.W_OK | constants.X_OK).then(() => POSSIBLE, impossible);
}

async function canOpen(path: string, flags: number): Promise<Possibility> {
  try {
    // A FIFO without a writer must not block the call.
    await (await open(path, flags | (constants.O_NONBLOCK ?? 0))).close();
    return POSSIBLE;
  } catch (error) {
    return impossible(error);
  }
}

async function canReadDirectly(path: string): Promise<Possibility> {
  if (typeof constants.O_DIRECT !== 'number') return impossible('this platform has no O_DIRECT');
  const opened = await canOpen(path, constants.O_RDONLY | constants.O_DIRECT);
  if (!opened.possible) return opened;
  // The alignment can be asked only in a directory where this process may make a file. Elsewhere, opening the file is
  // proof enough.
  const directory = dirname(path);
  return (await canWrite(directory)).possible ? directIoIn(directory) : POSSIBLE;
}

function directIoIn(directory: string): Possibility {
  const { available, why, memoryAlignment = 1, offsetAlignment = 1 } = probe(directory).directIo;
  if (!available) return impossible(why ?? 'the file system has none');
  const alignment = Math.max(memoryAlignment, offsetAlignment);
  if (alignment <= QEMU_ALIGNMENT) return POSSIBLE;
  return impossible(
    `the file system asks for an alignment of ${alignment} bytes, QEMU keeps to ${QEMU_ALIGNMENT}`,
  );
}

function impossible(reason: unknown): Possibility {
  return { possible: false, why: messageOf(reason) };
}
