import { Writable } from 'node:stream';

import { MappedRamError } from '../errors.ts';
import { assertTransferWords } from '../engine/engine-options.ts';
import { assertWords } from '../io/option-words.ts';
import { assertStoreZeroPages } from '../pages/zero-pages.ts';
import type { Output } from '../io/output.ts';
import { OutputSink, WritableSink } from '../io/stream-sink.ts';
import { SEAL_OF } from '../seal/seal-file.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { createOutput, type TargetPlace, targetPlace } from '../snapshot/snapshot-target.ts';
import { convertFromStream } from './from-stream.ts';
import { type Input, openInput } from './input.ts';
import {
  STREAM_FORMS,
  type ConvertOptions,
  type ConvertResult,
  type ConvertSource,
  type ConvertTarget,
} from './options.ts';
import { convertMapped, type Converted } from './rewrite.ts';
import { convertToStream } from './to-stream.ts';

/**
 * Converts between the two forms of a saved guest: a plain migration stream becomes a mapped-ram file, a mapped-ram
 * file becomes a plain stream, or a mapped-ram file is written anew at another offset, without pages that are all zero.
 * Device state is copied byte for byte. Any QEMU with the same machine loads the result.
 *
 * A file appears under its name only when it is complete, as with `pack`. Descriptors are written in place. The seal of
 * a snapshot that the result replaces by name is removed.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_BAD_MAGIC,
 * ERR_MAPPED_RAM_CORRUPT, ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_UNSUPPORTED for a source that cannot be converted,
 * ERR_MAPPED_RAM_INVALID_ARGUMENT when the source lacks some of the memory or an option does not apply,
 * ERR_MAPPED_RAM_IO
 */
export async function convert(
  source: ConvertSource,
  target: ConvertTarget,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  const startedAt = performance.now();
  const { to = 'mapped-ram', signal } = options;
  signal?.throwIfAborted();
  assertWords(options, { to: STREAM_FORMS });
  assertTransferWords(options);
  assertStoreZeroPages(options.storeZeroPages);
  const place = target instanceof Writable ? target : targetPlace(target);
  const result = place instanceof Writable ? undefined : place;
  await using input = await openInput(source, result, signal);
  const from = input.snapshot === undefined ? 'stream' : 'mapped-ram';
  if (from === 'stream' || to === 'stream') assertNoneIdle(options);
  const { endOffset, ...converted } = await carryOut(input, place, options);
  return {
    ...converted,
    size: endOffset,
    from,
    to,
    source: { path: input.path, offset: input.offset },
    elapsedMs: performance.now() - startedAt,
  };
}

function alreadyPlain({ path, offset }: Input): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the source is a plain stream already; QEMU loads it from offset ${offset}`,
    { path, expected: 'a mapped-ram file' },
  );
}

/** Refuses options that would have no effect: an explicit choice is never dropped in silence. */
function assertNoneIdle(options: ConvertOptions): void {
  const { to, storeZeroPages, channels, queueDepth, requestSize, ioEngine, directIo } = options;
  if (to === 'stream' && storeZeroPages !== undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'in a plain stream every page has a record, zero pages too',
      { expected: 'no storeZeroPages', found: 'storeZeroPages' },
    );
  }
  const idle = Object.entries({
    channels,
    queueDepth,
    requestSize,
    ioEngine: ioEngine === 'auto' ? undefined : ioEngine,
    directIo: directIo === 'on' ? directIo : undefined,
  });
  const [name, value] = idle.find(([, choice]) => choice !== undefined) ?? [];
  if (name === undefined) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'the engine moves pages from mapped-ram to mapped-ram only; a plain stream goes through the page cache',
    { expected: `no ${name}`, found: `${name}: ${value}` },
  );
}

async function carryOut(
  input: Input,
  target: TargetPlace | Writable,
  options: ConvertOptions,
): Promise<Done> {
  const { snapshot, sequential, offset } = input;
  const { to = 'mapped-ram' } = options;
  if (to === 'stream') {
    if (snapshot === undefined) throw alreadyPlain(input);
    if (target instanceof Writable) return intoWritable(snapshot, target, options);
    return intoFile(target, options, (output) => intoStreamFile(snapshot, output, options));
  }
  if (target instanceof Writable) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'a mapped-ram file needs a file to seek in', {
      expected: "a path, or to: 'stream'",
    });
  }
  return intoFile(target, options, (output) =>
    snapshot === undefined
      ? convertFromStream(sequential, offset, output, options)
      : convertMapped(snapshot, output, options),
  );
}

type Done = Converted & { readonly path: string; readonly offset: number };

async function intoFile(
  target: TargetPlace,
  { overwrite = false, signal }: ConvertOptions,
  write: (output: Output) => Promise<Converted>,
): Promise<Done> {
  await using output = await createOutput(target, { overwrite, signal, companions: SEAL_OF });
  const converted = await write(output);
  signal?.throwIfAborted();
  await output.finish();
  signal?.throwIfAborted();
  await output.publish();
  return { path: output.name, offset: output.offset, ...converted };
}

async function intoStreamFile(
  snapshot: Snapshot,
  output: Output,
  options: ConvertOptions,
): Promise<Converted> {
  await output.allocate(output.offset);
  const sink = new OutputSink(output);
  const converted = await convertToStream(snapshot, sink, options);
  return { ...converted, endOffset: sink.position };
}

async function intoWritable(snapshot: Snapshot, target: Writable, options: ConvertOptions): Promise<Done> {
  using sink = new WritableSink(target, 'stream', options.signal);
  const converted = await convertToStream(snapshot, sink, options);
  return { path: 'stream', offset: 0, ...converted, endOffset: sink.position };
}
