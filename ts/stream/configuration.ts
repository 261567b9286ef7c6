import { MappedRamError } from '../errors.ts';
import { ByteWriter } from './write/byte-writer.ts';
import { isKnownCapability } from './capabilities.ts';
import { RECORD, STREAM_MAGIC, STREAM_VERSION } from './constants.ts';
import { FOREIGN_HEAD_BYTES, foreignKind } from './foreign-kinds.ts';
import type { StreamCursor } from './read/stream-cursor.ts';
import type { RandomAccessReader } from './reader.ts';
import { decodeName, encodeName } from './text.ts';

/** The CONFIGURATION record (docs/format.md §1.2). */
export interface Configuration {
  /** Machine type, resolved: `pc-q35-10.0`, not `q35`. May be empty. */
  readonly machine: string;
  /** Capabilities in the order of the file; empty when the subsection is missing. */
  readonly capabilities: readonly string[];
  /** log2 of the target page size. Only architectures with a variable page size write it. */
  readonly targetPageBits?: number;
  /** The guest's UUID, 16 bytes. Only the capability validate-uuid brings it. */
  readonly uuid?: Uint8Array;
}

/** Longest machine name that is read, in bytes. */
const MAX_MACHINE_BYTES = 1024;
const SUBSECTION_VERSION = 1;
const PREFIX = 'configuration/';

/** Encodes magic and version. */
export function encodeFileHeader(): Uint8Array {
  return new ByteWriter().u32(STREAM_MAGIC).u32(STREAM_VERSION).finish();
}

/**
 * Encodes the CONFIGURATION record, subsections in QEMU's order.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for names or a UUID of the wrong length
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { machine, capabilities, targetPageBits, uuid } = configuration;
  const name = encodeName(machine, 'machine type', MAX_MACHINE_BYTES, 0);
  const writer = new ByteWriter().u8(RECORD.configuration).u32(name.length).bytes(name);
  if (targetPageBits !== undefined) subsection(writer, 'target-page-bits').u32(targetPageBits);
  if (capabilities.length > 0) {
    subsection(writer, 'capabilities').u32(capabilities.length);
    for (const capability of capabilities) {
      const encoded = encodeName(capability, 'capability');
      writer.u8(encoded.length).bytes(encoded);
    }
  }
  if (uuid !== undefined) {
    if (uuid.length !== 16) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'length of the uuid', {
        expected: 16,
        found: uuid.length,
      });
    }
    subsection(writer, 'uuid').bytes(uuid);
  }
  return writer.finish();
}

function subsection(writer: ByteWriter, name: string): ByteWriter {
  const bytes = encodeName(PREFIX + name, 'subsection');
  return writer.u8(RECORD.subsection).u8(bytes.length).bytes(bytes).u32(SUBSECTION_VERSION);
}

/** Reads magic and version. */
export async function decodeFileHeader(cursor: StreamCursor): Promise<void> {
  const { position: offset } = cursor;
  const path = cursor.reader.name;
  await cursor.need(4);
  const magic = cursor.u32();
  if (magic !== STREAM_MAGIC) throw await badMagic(cursor.reader, offset, magic);
  await cursor.need(4);
  const version = cursor.u32();
  if (version !== STREAM_VERSION) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', 'version of the migration stream', {
      path,
      offset: offset + 4,
      expected: STREAM_VERSION,
      found: version,
    });
  }
}

async function badMagic(reader: RandomAccessReader, offset: number, magic: number): Promise<MappedRamError> {
  const head = await reader.read(offset, Math.min(FOREIGN_HEAD_BYTES, reader.size - offset));
  const kind = foreignKind(head);
  const words = 'not a QEMU migration stream';
  return new MappedRamError(
    'ERR_MAPPED_RAM_BAD_MAGIC',
    kind === undefined ? words : `${words} but ${kind.name} (${kind.help})`,
    { path: reader.name, offset, expected: hex(STREAM_MAGIC), found: hex(magic) },
  );
}

/** Reads the CONFIGURATION record at the cursor; leaves the cursor at the first byte after it. */
export async function decodeConfiguration(cursor: StreamCursor): Promise<Configuration> {
  await cursor.need(1);
  const type = cursor.peek();
  if (type !== RECORD.configuration) {
    throw cursor.corrupt('a CONFIGURATION record must follow the version', {
      expected: hex(RECORD.configuration),
      found: hex(type),
    });
  }
  cursor.skip(1);
  await cursor.need(4);
  const offset = cursor.position;
  const length = cursor.u32();
  if (length > MAX_MACHINE_BYTES) {
    throw cursor.corrupt('length of the machine type', {
      offset,
      expected: `at most ${MAX_MACHINE_BYTES}`,
      found: length,
    });
  }
  await cursor.need(length);
  const machine = decodeName(cursor.bytes(length), 'machine type', cursor.reader.name, offset);
  const configuration: Configuration = { machine, capabilities: [] };
  const seen = new Set<string>();
  while (cursor.remaining > 0) {
    await cursor.need(1);
    if (cursor.peek() !== RECORD.subsection) break;
    Object.assign(configuration, await decodeSubsection(cursor, seen));
  }
  return configuration;
}

async function decodeSubsection(cursor: StreamCursor, seen: Set<string>): Promise<Partial<Configuration>> {
  const offset = cursor.position;
  const path = cursor.reader.name;
  cursor.skip(1);
  const name = await cursor.name('name of a configuration subsection');
  if (seen.has(name)) throw cursor.corrupt(`subsection ${name} comes twice`, { offset });
  seen.add(name);
  await cursor.need(4);
  const version = cursor.u32();
  if (version !== SUBSECTION_VERSION) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', `version of subsection ${name}`, {
      path,
      offset,
      expected: SUBSECTION_VERSION,
      found: version,
    });
  }
  switch (name) {
    case 'configuration/target-page-bits':
      return { targetPageBits: await decodePageBits(cursor) };
    case 'configuration/capabilities':
      return { capabilities: await decodeCapabilities(cursor) };
    case 'configuration/uuid':
      await cursor.need(16);
      return { uuid: cursor.bytes(16) };
    default:
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `unknown configuration subsection ${name}`, {
        path,
        offset,
      });
  }
}

async function decodePageBits(cursor: StreamCursor): Promise<number> {
  await cursor.need(4);
  const offset = cursor.position;
  const bits = cursor.u32();
  // The flags of RAM words would not fit below 10. No architecture of QEMU goes above 16.
  if (bits < 10 || bits > 16)
    throw cursor.corrupt('target page bits', { offset, expected: '10 to 16', found: bits });
  return bits;
}

async function decodeCapabilities(cursor: StreamCursor): Promise<readonly string[]> {
  await cursor.need(4);
  const count = cursor.u32();
  const capabilities: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const offset = cursor.position;
    const name = await cursor.name('name of a capability');
    // A capability is in this list because it changes the bytes that follow: nobody can read past an unknown one.
    if (!isKnownCapability(name)) {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `unknown capability ${name}`, {
        path: cursor.reader.name,
        offset,
      });
    }
    if (capabilities.includes(name)) throw cursor.corrupt(`capability ${name} comes twice`, { offset });
    capabilities.push(name);
  }
  return capabilities;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
