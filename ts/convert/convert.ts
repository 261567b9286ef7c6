import { Writable } from 'node:stream';

import { MappedRamError } from '../errors.ts';
import { decodeConfiguration, decodeFileHeader } from '../stream/configuration.ts';
import { CAPABILITY_MAPPED_RAM } from '../stream/constants.ts';
import { LIBVIRT_HEADER_BYTES, parseLibvirtImage } from '../stream/read/libvirt-image.ts';
import type { SequentialReader } from '../stream/read/sequential-reader.ts';
import { StreamCursor } from '../stream/read/stream-cursor.ts';
import { byteCount } from '../io/byte-count.ts';
import { convertFromStream } from './from-stream.ts';
import { convertMapped, type Converted } from './rewrite.ts';
import type { ConvertOptions, ConvertResult, ConvertSource, ConvertTarget } from './options.ts';
import { convertToStream } from './to-stream.ts';
import { assertDistinct } from '../io/distinct-files.ts';
import { FileReader } from '../io/file-reader.ts';
import { pipeAt, pipeBehind, sequentialFile, sequentialStream } from '../io/sequential-source.ts';
import { Snapshot, type SnapshotSource } from '../snapshot/snapshot.ts';
import { snapshotPath } from '../snapshot/snapshot-path.ts';
import { SnapshotOutput, type SnapshotTarget } from '../snapshot/snapshot-output.ts';
import { streamBase } from '../snapshot/stream-base.ts';
import { FileSink, WritableSink } from '../io/stream-sink.ts';

/**
 * Turns a plain migration stream into a mapped-ram file, a mapped-ram file into a plain stream, or writes a mapped-ram file
 * anew: at another offset, without pages that are all zero. Device state goes along byte for byte; any QEMU of the same
 * machine loads the result.
 *
 * A file appears under its name only when it is complete, as with `pack`; descriptors are written in place. The old seal of
 * what is replaced by name goes with it.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_INCOMPLETE, ERR_MAPPED_RAM_BAD_MAGIC,
 * ERR_MAPPED_RAM_CORRUPT, ERR_MAPPED_RAM_TRUNCATED, ERR_MAPPED_RAM_UNSUPPORTED for what cannot be converted,
 * ERR_MAPPED_RAM_INVALID_ARGUMENT when the source does not bring all of the memory or an option does not apply,
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
  await using input = await openSource(source, target, signal);
  const from = input.snapshot === undefined ? 'stream' : 'mapped-ram';
  if (from === 'stream' || to === 'stream') assertNoneIdle(options);
  const { endOffset, ...converted } = await carryOut(input, target, options);
  return {
    ...converted,
    size: endOffset,
    from,
    to,
    source: { path: input.path, offset: input.offset },
    elapsedMs: performance.now() - startedAt,
  };
}

/** One of the two: a mapped-ram file, open at its offsets; or a plain stream, to be read front to back. */
interface Input extends AsyncDisposable {
  readonly path: string;
  readonly offset: number;
  readonly snapshot: Snapshot | undefined;
  readonly sequential: SequentialReader;
}

async function openSource(
  source: ConvertSource,
  target: ConvertTarget,
  signal: AbortSignal | undefined,
): Promise<Input> {
  if (typeof source === 'string' || source instanceof URL) {
    const { filename, offset } = snapshotPath(source);
    await assertDistinct([
      { role: 'the source', path: filename },
      ...(typeof target === 'string' || target instanceof URL
        ? [{ role: 'the result', path: snapshotPath(target).filename }]
        : []),
    ]);
    const pipe = pipeAt(filename);
    if (pipe !== undefined) return openStream(sequentialStream(pipe, filename, signal), offset);
    return openFile(await FileReader.open(filename, signal), offset, source, signal);
  }
  if (Symbol.asyncIterator in source) return openStream(sequentialStream(source, 'stream', signal), 0);
  const offset = byteCount('offset of the source', source.offset ?? 0);
  const pipe = pipeBehind(source.fd);
  if (pipe !== undefined)
    return openStream(sequentialStream(pipe, `descriptor ${source.fd}`, signal), offset);
  return openFile(await FileReader.over(source.fd, signal), offset, source, signal);
}

async function openStream(sequential: SequentialReader, given: number): Promise<Input> {
  try {
    // Also where an offset was given: a source is let go only when its reading has begun.
    const head = await sequential.read(0, LIBVIRT_HEADER_BYTES);
    const image = given === 0 ? parseLibvirtImage(head, sequential.name) : undefined;
    const dispose = (): Promise<void> => sequential[Symbol.asyncDispose]();
    const offset = image?.streamOffset ?? given;
    return { path: sequential.name, offset, snapshot: undefined, sequential, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await sequential[Symbol.asyncDispose]();
    throw error;
  }
}

async function openFile(
  reader: FileReader,
  given: number,
  source: SnapshotSource,
  signal: AbortSignal | undefined,
): Promise<Input> {
  try {
    const offset = await streamBase(reader, given);
    const snapshot = (await isMapped(reader, offset)) ? await Snapshot.open(source, signal) : undefined;
    const sequential = sequentialFile(reader, offset);
    const dispose = async (): Promise<void> => {
      await sequential[Symbol.asyncDispose]();
      await snapshot?.close();
      await reader.close();
    };
    return { path: reader.name, offset, snapshot, sequential, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function isMapped(reader: FileReader, offset: number): Promise<boolean> {
  const cursor = new StreamCursor(reader, offset);
  await decodeFileHeader(cursor);
  return (await decodeConfiguration(cursor)).capabilities.includes(CAPABILITY_MAPPED_RAM);
}

function alreadyPlain({ path, offset }: Input): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `the source is a plain stream already; QEMU loads it from offset ${offset}`,
    { path, expected: 'a mapped-ram file' },
  );
}

/** An explicit choice is never dropped in silence. */
function assertNoneIdle(options: ConvertOptions): void {
  const { to, storeZeroPages, channels, queueDepth, requestSize, engine, directIo } = options;
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
    engine: engine === 'auto' ? undefined : engine,
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

async function carryOut(input: Input, target: ConvertTarget, options: ConvertOptions): Promise<Done> {
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
  target: SnapshotTarget,
  { overwrite = false, signal }: ConvertOptions,
  write: (output: SnapshotOutput) => Promise<Converted>,
): Promise<Done> {
  await using output = await SnapshotOutput.create(target, overwrite, signal);
  const converted = await write(output);
  signal?.throwIfAborted();
  await output.commit();
  return { path: output.name, offset: output.offset, ...converted };
}

async function intoStreamFile(
  snapshot: Snapshot,
  output: SnapshotOutput,
  options: ConvertOptions,
): Promise<Converted> {
  await output.allocate(output.offset);
  const sink = new FileSink(output);
  const converted = await convertToStream(snapshot, sink, options);
  return { ...converted, endOffset: sink.position };
}

async function intoWritable(snapshot: Snapshot, target: Writable, options: ConvertOptions): Promise<Done> {
  using sink = new WritableSink(target, 'stream', options.signal);
  const converted = await convertToStream(snapshot, sink, options);
  return { path: 'stream', offset: 0, ...converted, endOffset: sink.position };
}
