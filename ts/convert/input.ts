import type { Readable } from 'node:stream';

import { assertDistinct, namedPlace, namedSource } from '../snapshot/distinct-places.ts';
import type { OpenSource } from '../io/open-source.ts';
import { pipeAt, pipeBehind, sequentialFile, sequentialStream } from '../io/sequential-source.ts';
import { type OpenedSource, openPlace, type SourcePlace, sourcePlace } from '../snapshot/snapshot-source.ts';
import type { TargetPlace } from '../snapshot/snapshot-target.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import { decodeConfiguration, decodeFileHeader } from '../stream/configuration.ts';
import { CAPABILITY_MAPPED_RAM } from '../stream/constants.ts';
import { LIBVIRT_HEADER_BYTES, type LibvirtImage, parseLibvirtImage } from '../stream/read/libvirt-image.ts';
import type { SequentialReader } from '../stream/read/sequential-reader.ts';
import { StreamCursor } from '../stream/read/stream-cursor.ts';
import type { ConvertSource } from './options.ts';

/** The source of a conversion: a mapped-ram file, open at its offsets; or a plain stream, to be read front to back. */
export interface Input extends AsyncDisposable {
  readonly path: string;
  /** Offset of the stream's start in the source, in bytes. */
  readonly offset: number;
  /** The open snapshot; undefined for a plain stream. */
  readonly snapshot: Snapshot | undefined;
  readonly sequential: SequentialReader;
  /** The header of the libvirt save image that the stream is in; undefined when it is in none. */
  readonly libvirt: LibvirtImage | undefined;
}

/**
 * Opens the source of a conversion, once. Disposal closes whatever this function opened.
 * @param result the place of the result; undefined for a stream
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when source and result are one place; as `sourcePlace` and
 * `openPlace`
 */
export async function openInput(
  source: ConvertSource,
  result: TargetPlace | undefined,
  signal: AbortSignal | undefined,
): Promise<Input> {
  if (source instanceof Snapshot) {
    await assertDistinct([...namedSource('the source', source.reader), ...namedPlace('the result', result)]);
    return openSnapshot(source.until(signal));
  }
  if (isStream(source)) return openStream(sequentialStream(source, 'stream', signal), 0);
  const place = sourcePlace(source);
  await assertDistinct([...namedPlace('the source', place), ...namedPlace('the result', result)]);
  const pipe = openPipe(place);
  if (pipe !== undefined) return openStream(sequentialStream(pipe.stream, pipe.name, signal), place.offset);
  return openFile(await openPlace(place, signal), result);
}

function isStream(source: ConvertSource): source is Readable | AsyncIterable<Uint8Array> {
  return typeof source === 'object' && source !== null && Symbol.asyncIterator in source;
}

function openPipe(place: SourcePlace): { readonly stream: Readable; readonly name: string } | undefined {
  if ('storage' in place) return undefined;
  const name = 'path' in place ? place.path : `descriptor ${place.fd}`;
  const stream = 'path' in place ? pipeAt(place.path) : pipeBehind(place.fd);
  return stream && { stream, name };
}

async function openStream(sequential: SequentialReader, given: number): Promise<Input> {
  try {
    // The head is read even when an offset was given: a source is let go only when its reading has begun.
    const head = await sequential.read(0, LIBVIRT_HEADER_BYTES);
    const image = given === 0 ? parseLibvirtImage(head, sequential.name) : undefined;
    const dispose = (): Promise<void> => sequential[Symbol.asyncDispose]();
    const offset = image?.streamOffset ?? given;
    const found = { path: sequential.name, offset, snapshot: undefined, sequential, libvirt: image };
    return { ...found, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await sequential[Symbol.asyncDispose]();
    throw error;
  }
}

async function openFile(opened: OpenedSource, result: TargetPlace | undefined): Promise<Input> {
  const { reader, base: offset, libvirt } = opened;
  let snapshot: Snapshot | undefined;
  try {
    snapshot = (await isMapped(reader, offset)) ? await Snapshot.over(opened) : undefined;
    // The base of a delta is known only now.
    await assertDistinct([
      ...namedSource('the source', snapshot?.reader ?? reader),
      ...namedPlace('the result', result),
    ]);
    const source = snapshot ?? reader;
    const sequential = sequentialFile(reader, offset);
    const dispose = async (): Promise<void> => {
      await sequential[Symbol.asyncDispose]();
      await source.close();
    };
    return { path: reader.name, offset, snapshot, sequential, libvirt, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await (snapshot ?? reader).close();
    throw error;
  }
}

/** Wraps a snapshot that stays the caller's. */
function openSnapshot(source: Snapshot): Input {
  const { path, reader, index, libvirt } = source;
  const sequential = sequentialFile(reader, index.base);
  const snapshot = index.capabilities.includes(CAPABILITY_MAPPED_RAM) ? source : undefined;
  const dispose = (): Promise<void> => sequential[Symbol.asyncDispose]();
  return { path, offset: index.base, snapshot, sequential, libvirt, [Symbol.asyncDispose]: dispose };
}

async function isMapped(reader: OpenSource, offset: number): Promise<boolean> {
  const cursor = new StreamCursor(reader, offset);
  await decodeFileHeader(cursor);
  return (await decodeConfiguration(cursor)).capabilities.includes(CAPABILITY_MAPPED_RAM);
}
