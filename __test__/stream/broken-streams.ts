import type { ExecutionContext } from 'ava';

import { MappedRamError, type ErrorCode } from '../../ts/errors.ts';
import { walkStream, type Configuration } from '../../ts/stream/index.ts';
import type { SectionIdentity } from '../../ts/stream/section.ts';
import { encodePlainRamStart } from '../../ts/stream/write/encode-ram.ts';
import { StreamBuilder, type Device, type StreamModel } from '../support/stream-builder.ts';
import { collect, StrictReader } from './strict-reader.ts';

export const plain: Configuration = { machine: 'pc-q35-10.0', capabilities: [] };
const mapped: Configuration = { machine: 'pc-q35-10.0', capabilities: ['mapped-ram'] };

export const timer: Device = {
  idstr: 'timer',
  instanceId: 0,
  versionId: 2,
  fields: [{ size: 8 }, { size: 4, times: 3 }],
  subsections: [],
};

/** A small mapped-ram stream, whole, for the tests to break. */
export const model: StreamModel = {
  base: 0,
  configuration: mapped,
  ramId: 1,
  blocks: [
    { id: 'a', length: 8192 },
    { id: 'b', length: 4096 },
  ],
  early: [],
  parts: [[]],
  switchover: true,
  devices: [timer],
  vmdescription: true,
  trailing: 0,
};

export const RAM: SectionIdentity = { sectionId: 1, idstr: 'ram', instanceId: 0, versionId: 4 };

export interface RefusedStream {
  readonly what: string;
  readonly bytes: () => Uint8Array;
  /** @default 'ERR_MAPPED_RAM_CORRUPT' */
  readonly code?: ErrorCode;
  readonly message: RegExp;
  readonly offset?: number;
  readonly expected?: string | number;
  readonly found?: string | number;
}

/** The error with which a walk of the bytes ends. */
export async function failure(bytes: Uint8Array): Promise<MappedRamError> {
  const outcome = await collect(walkStream(new StrictReader(bytes))).catch((error: unknown) => error);
  if (outcome instanceof MappedRamError) return outcome;
  throw new Error('the walk did not fail as it should', { cause: outcome });
}

export async function assertRefused(t: ExecutionContext, refused: RefusedStream): Promise<void> {
  const { bytes, code = 'ERR_MAPPED_RAM_CORRUPT', message, offset, expected, found } = refused;
  const error = await failure(bytes());
  t.is(error.code, code);
  t.regex(error.message, message);
  t.is(error.path, 'strict');
  t.is(typeof error.offset, 'number');
  if (offset !== undefined) t.is(error.offset, offset);
  if (expected !== undefined) t.is(error.expected, expected);
  if (found !== undefined) t.is(error.found, found);
}

/** Header and CONFIGURATION of a plain stream. */
export function beginning(): StreamBuilder {
  return new StreamBuilder().beginning(plain);
}

/** A plain stream with one block `a` of two pages, up to the end of RAM START. */
export function withPlainStart(...rest: readonly Uint8Array[]): Uint8Array {
  const builder = new StreamBuilder();
  builder.raw(encodePlainRamStart({ configuration: plain, blocks: [{ id: 'a', length: 8192 }] }));
  for (const bytes of rest) builder.raw(bytes);
  return builder.bytes;
}

export function withLast(bytes: Uint8Array, value: number): Uint8Array {
  const changed = bytes.slice();
  changed[changed.length - 1] = value;
  return changed;
}

export function word(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes;
}
