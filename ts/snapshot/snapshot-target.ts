import { stat } from 'node:fs/promises';

import { StagedFile } from '../engine/staged-file.ts';
import { byteCount } from '../io/byte-count.ts';
import type { Output } from '../io/output.ts';
import type { StorageTarget } from '../io/storage.ts';
import { assertPlace } from './assert-place.ts';
import type { Companions } from './companions.ts';
import { DescriptorOutput } from './descriptor-output.ts';
import { assertHolds, type Demand } from './medium.ts';
import { literalPath, parsePlace } from './snapshot-source.ts';
import { StagedOutput } from './staged-output.ts';
import { StorageOutput } from './storage-output.ts';

/**
 * The place that a snapshot goes to. A string is a `file:` migration URI (with `,offset=`) or a path, a URL is a
 * `file:` URL; `path` is taken literally. `fd` and `directFd` are descriptors of one file, both open for writing, the
 * second with O_DIRECT; they stay the caller's, and so does storage. `offset` is the stream's offset in bytes. @default
 * 0
 */
export type SnapshotTarget =
  | string
  | URL
  | {
      readonly path: string;
      readonly fd?: undefined;
      readonly storage?: undefined;
      readonly offset?: number | bigint | undefined;
      /** An open `Snapshot` has a path too, and is no name of a place. */
      readonly close?: undefined;
    }
  | {
      readonly fd: number;
      readonly directFd?: number | undefined;
      readonly path?: undefined;
      readonly storage?: undefined;
      readonly offset?: number | bigint | undefined;
    }
  | {
      readonly storage: StorageTarget;
      readonly path?: undefined;
      readonly fd?: undefined;
      readonly offset?: number | bigint | undefined;
    };

/** A target whose text was parsed. */
export type TargetPlace =
  | { readonly path: string; readonly offset: number }
  | { readonly fd: number; readonly directFd: number | undefined; readonly offset: number }
  | { readonly storage: StorageTarget; readonly offset: number };

interface OutputOptions {
  /** Lets the snapshot replace a file of its name. @default false */
  readonly overwrite?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The companions of the file that is about to be replaced, which go with it. */
  readonly companions?: Companions | undefined;
}

/**
 * Parses a target.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for what is no target, and as `parsePlace`
 */
export function targetPlace(target: SnapshotTarget): TargetPlace {
  if (typeof target === 'string' || target instanceof URL) return parsePlace(target);
  assertPlace(target, 'the target', ['writeAt', 'finish', 'publish', 'drop']);
  const offset = byteCount('offset of the snapshot', target.offset ?? 0);
  if (target.path !== undefined) return { path: literalPath(target.path), offset };
  if (target.fd === undefined) return { storage: target.storage, offset };
  return { fd: target.fd, directFd: target.directFd, offset };
}

/** The name that a snapshot is to get; undefined when it gets none from here. */
export function targetPath(place: TargetPlace): string | undefined {
  return 'path' in place ? place.path : undefined;
}

/**
 * Opens a target. A target with a name gets a file beside that name.
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_IO (also for a
 *   descriptor's file that guests run from)
 */
export async function createOutput(place: TargetPlace, options: OutputOptions = {}): Promise<Output> {
  if ('fd' in place) return DescriptorOutput.open(place.fd, place.directFd, place.offset);
  const { overwrite = false, signal, companions } = options;
  if ('storage' in place) return new StorageOutput(place.storage, place.offset, signal);
  const { path, offset } = place;
  const mayReplace = overwrite || (await endsBefore(path, offset));
  return StagedOutput.create(path, offset, mayReplace, signal, companions);
}

/**
 * Checks that a snapshot can get this name and that its medium can hold it, as `createOutput` would. Leaves nothing.
 * @param demand the demands of the snapshot, as far as they are known
 * @throws {MappedRamError} as `createOutput` and `assertHolds`
 */
export async function assertTarget(
  path: string,
  offset: number,
  { overwrite = false, signal, companions }: OutputOptions,
  demand: Demand,
): Promise<void> {
  const mayReplace = overwrite || (await endsBefore(path, offset));
  await using staged = await StagedFile.create(path, { overwrite: mayReplace, signal });
  await companions?.check(path);
  await assertHolds(staged.path, path, demand);
}

/**
 * Tells whether a file ends where the stream is to start. The file loses nothing then: it is the container whose first
 * bytes are kept.
 */
async function endsBefore(path: string, offset: number): Promise<boolean> {
  if (offset === 0) return false;
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  return size <= offset;
}
