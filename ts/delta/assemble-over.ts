import { basename, dirname, relative, resolve } from 'node:path';

import { type BaseIdentity, identifyBase } from '../snapshot/base-identity.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { StreamPatch } from '../stream/global-state.ts';
import { type BaseRecord, withBaseRecord } from '../stream/vmdescription/base-record.ts';
import { readVmdescriptionFor } from '../stream/vmdescription/rewrite-vmdescription.ts';
import type { AssembledMapped } from '../stream/write/assemble.ts';
import { assembleDelta } from '../stream/write/assemble-delta.ts';
import { mappedConfiguration } from '../stream/write/configuration-forms.ts';

/** The place of a delta that is to be written, and what it records. */
export interface OverOptions {
  /** The name that the delta gets; undefined when it gets none. */
  readonly path: string | undefined;
  /** Offset of the delta's stream in its file, in bytes. */
  readonly offset: number;
  /** Bytes that take the place of the state's own. @default none */
  readonly patches?: readonly StreamPatch[] | undefined;
  /** What `identifyBase` says. @default it is asked now, and reads all of the base but its pages */
  readonly identity?: BaseIdentity | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Assembles a delta around device state, with the record by which it finds its base again (docs/format.md §13).
 * @param base a whole snapshot, with the blocks that the state has
 * @throws {MappedRamError} as `identifyBase` and `assembleDelta`
 */
export async function assembleOver(
  base: Snapshot,
  { reader, index }: Snapshot,
  { path, offset, identity, patches, signal }: OverOptions,
): Promise<AssembledMapped> {
  const { blocks, targetPageSize } = base.completeRam();
  const known = identity ?? (await identifyBase(base.reader, base.index, signal));
  const record = recordOf(base, path, known);
  const configuration = mappedConfiguration(index.configuration);
  const described =
    (await readVmdescriptionFor(reader, index, configuration)) ?? nothingDescribed(targetPageSize);
  return assembleDelta({
    state: index,
    configuration,
    blocks: blocks.map(({ id, length }) => ({ id, length })),
    vmdescription: withBaseRecord(described, record),
    patches,
    base: offset,
  });
}

/** The record of the base as the delta carries it. */
function recordOf(base: Snapshot, delta: string | undefined, identity: BaseIdentity): BaseRecord {
  const file = base.reader.file?.path;
  if (file === undefined) return identity;
  const path = resolve(file);
  const name = delta === undefined ? basename(path) : relative(dirname(resolve(delta)), path);
  return { name, path, ...identity };
}

/** A vmdescription for a state that has none because it has no devices: the record of the base needs a place. */
function nothingDescribed(pageSize: number): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ page_size: pageSize, devices: [] }));
}
