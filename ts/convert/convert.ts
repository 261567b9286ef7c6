import { Writable } from 'node:stream';

import { assertOptions } from '../io/assert-options.ts';
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
import { libvirtDataFor } from './libvirt-data.ts';
import {
  RESULT_FORMS,
  type ConvertOptions,
  type ConvertResult,
  type ConvertSource,
  type ConvertTarget,
} from './options.ts';
import { encodeLibvirtHead } from '../stream/write/encode-libvirt.ts';
import { literalPath } from '../snapshot/snapshot-source.ts';
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
  assertOptions(options);
  const { to = 'mapped-ram', signal } = options;
  signal?.throwIfAborted();
  assertWords(options, { to: RESULT_FORMS });
  assertTransferWords(options);
  assertStoreZeroPages(options.storeZeroPages);
  assertXml(options);
  const place = target instanceof Writable ? target : targetPlace(target);
  const result = place instanceof Writable ? undefined : place;
  await using input = await openInput(source, result, signal);
  const from = input.snapshot === undefined ? 'stream' : 'mapped-ram';
  if (from === 'stream' || to !== 'mapped-ram') assertNoneIdle(options);
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

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for XML that is no path, or has no use */
function assertXml({ to, xml }: ConvertOptions): void {
  if (xml === undefined) return;
  literalPath(xml);
  if (to === 'libvirt') return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'only a libvirt save image has XML in it', {
    expected: "libvirt as what to convert to (to: 'libvirt', --to libvirt), or no xml",
    found: xml,
  });
}

function alreadyPlain({ path, offset }: Input, to: 'stream' | 'libvirt'): MappedRamError {
  if (to === 'libvirt') {
    return new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the source is a plain stream: convert it to mapped-ram first, and that to libvirt',
      { path, expected: 'a mapped-ram file' },
    );
  }
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the source is a plain stream already; QEMU loads it from offset ${offset}`,
    { path, expected: 'a mapped-ram file' },
  );
}

/** Refuses options that would have no effect: an explicit choice is never dropped in silence. */
function assertNoneIdle(options: ConvertOptions): void {
  const {
    to = 'mapped-ram',
    storeZeroPages,
    channels,
    queueDepth,
    requestSize,
    ioEngine,
    directIo,
  } = options;
  if (to !== 'mapped-ram' && storeZeroPages !== undefined) {
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
  const { snapshot } = input;
  const { to = 'mapped-ram' } = options;
  if (to !== 'mapped-ram') {
    if (snapshot === undefined) throw alreadyPlain(input, to);
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
      ? convertFromStream(input, output, options)
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
  const converted = await convertToStream(snapshot, sink, options, containerOf(snapshot, options));
  return { ...converted, endOffset: sink.position };
}

/** Returns the maker of libvirt's header; undefined where the result is the stream alone. */
function containerOf(
  snapshot: Snapshot,
  { to, xml }: ConvertOptions,
): ((runState: string | undefined) => Promise<Uint8Array>) | undefined {
  if (to !== 'libvirt') return undefined;
  return async (runState) =>
    encodeLibvirtHead(await libvirtDataFor(snapshot, xml), runState === undefined || runState === 'running');
}

async function intoWritable(snapshot: Snapshot, target: Writable, options: ConvertOptions): Promise<Done> {
  using sink = new WritableSink(target, 'stream', options.signal);
  const converted = await convertToStream(snapshot, sink, options, containerOf(snapshot, options));
  return { path: 'stream', offset: 0, ...converted, endOffset: sink.position };
}
