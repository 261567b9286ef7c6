import { MappedRamError } from '../../errors.ts';
import { type RandomAccessReader, truncated } from '../reader.ts';

/** The header that libvirt puts before the stream of a saved guest (docs/format.md §12). */
export interface LibvirtImage {
  /** The header's version, 1 or 2. */
  readonly version: number;
  /** Offset of the migration stream, counted from the image's first byte. */
  readonly streamOffset: number;
  /** True when the guest ran as it was saved. */
  readonly wasRunning: boolean;
  /** libvirt's name for the form of the stream: `raw` and `sparse` are streams, the others are compressed. */
  readonly format: string;
  /** Offset of the cookie in the data behind the header; 0 if there is none. */
  readonly cookieOffset: number;
}

/** Bytes of the header; the domain's XML follows. */
export const LIBVIRT_HEADER_BYTES = 92;

export const LIBVIRT_MAGIC = 'LibvirtQemudSave';
/** The magic of an image that libvirt has not finished. */
const MAGIC_PARTIAL = 'LibvirtQemudPart';
const MAX_VERSION = 2;
/** The most bytes of XML that are read: libvirt's own limit is 1 MiB, and padding comes on top. */
export const LIBVIRT_MAX_DATA: number = 4 * 2 ** 20;
const FORMATS = ['raw', 'gzip', 'bzip2', 'xz', 'lzop', 'zstd', 'sparse'] as const;

/**
 * Reads the header of a libvirt save image that starts at offset 0; undefined for any other file.
 * @throws {MappedRamError} as `parseLibvirtImage`, and the reader's errors
 */
export async function readLibvirtImage(reader: RandomAccessReader): Promise<LibvirtImage | undefined> {
  const head = await reader.read(0, Math.min(LIBVIRT_HEADER_BYTES, reader.size));
  return parseLibvirtImage(head, reader.name);
}

/**
 * Parses the header from the first bytes of an image, at hand: as many as the header has, or the whole image.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE when libvirt has not finished the image,
 *   ERR_MAPPED_RAM_UNSUPPORTED when the stream is compressed, ERR_MAPPED_RAM_UNSUPPORTED_VERSION,
 *   ERR_MAPPED_RAM_TRUNCATED for an image that is cut off in its header
 */
export function parseLibvirtImage(head: Uint8Array, name: string): LibvirtImage | undefined {
  const magic = String.fromCharCode(...head.subarray(0, LIBVIRT_MAGIC.length));
  if (magic === MAGIC_PARTIAL) {
    throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'libvirt has not finished this save image', {
      path: name,
      offset: 0,
      expected: LIBVIRT_MAGIC,
      found: magic,
    });
  }
  if (magic !== LIBVIRT_MAGIC) return undefined;
  if (head.length < LIBVIRT_HEADER_BYTES) throw truncated(name, 0, LIBVIRT_HEADER_BYTES, head.length);
  const view = new DataView(head.buffer, head.byteOffset, LIBVIRT_HEADER_BYTES);
  // The header has the host's byte order, which only the version tells.
  const littleEndian = view.getUint32(16, true) <= MAX_VERSION;
  const word = (offset: number): number => view.getUint32(offset, littleEndian);
  const version = word(16);
  if (version === 0 || version > MAX_VERSION) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED_VERSION', 'version of the libvirt save image', {
      path: name,
      offset: 16,
      expected: `1 to ${MAX_VERSION}`,
      found: version,
    });
  }
  const streamOffset = LIBVIRT_HEADER_BYTES + word(20);
  return {
    version,
    streamOffset,
    wasRunning: word(24) !== 0,
    format: formatOf(version === 1 ? 0 : word(28), streamOffset, name),
    cookieOffset: version === 1 ? 0 : word(32),
  };
}

function formatOf(number: number, streamOffset: number, name: string): string {
  const format = FORMATS[number];
  if (format === 'raw' || format === 'sparse') return format;
  const what =
    format === undefined
      ? `in a way that is not known (${number})`
      : `with ${format} (decompress it: tail -c +${streamOffset + 1} FILE | ${format} -dc | mapped-ram convert - OUT)`;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `libvirt has compressed this save image ${what}`, {
    path: name,
    offset: 28,
    expected: 'an image in the format raw or sparse',
    found: format ?? number,
  });
}

/** The texts that lie between libvirt's header and the stream. */
export interface LibvirtData {
  /** The domain's XML. */
  readonly xml: string;
  /** libvirt's cookie, XML too; undefined if there is none. */
  readonly cookie: string | undefined;
}

/**
 * Reads the domain's XML and the cookie of an image.
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT for data of a length that no libvirt writes, or without an end;
 *   ERR_MAPPED_RAM_TRUNCATED, and the reader's errors
 */
export async function readLibvirtData(
  reader: RandomAccessReader,
  { streamOffset, cookieOffset }: LibvirtImage,
): Promise<LibvirtData> {
  const length = streamOffset - LIBVIRT_HEADER_BYTES;
  const wrong = (message: string, found: number): MappedRamError =>
    new MappedRamError('ERR_MAPPED_RAM_CORRUPT', message, { path: reader.name, offset: 20, found });
  if (length > LIBVIRT_MAX_DATA)
    throw wrong(`libvirt's XML is longer than ${LIBVIRT_MAX_DATA} bytes`, length);
  const data = await reader.read(LIBVIRT_HEADER_BYTES, length);
  const textAt = (start: number): string => {
    const end = data.indexOf(0, start);
    if (end < 0) throw wrong("libvirt's XML has no end", length);
    return new TextDecoder().decode(data.subarray(start, end));
  };
  if (cookieOffset >= length && cookieOffset > 0)
    throw wrong("libvirt's cookie lies behind its data", cookieOffset);
  return { xml: textAt(0), cookie: cookieOffset === 0 ? undefined : textAt(cookieOffset) };
}

/** The name of the domain; undefined when the XML does not tell. */
export function domainName(xml: string): string | undefined {
  // The domain's own name comes first: other elements with names lie deeper, behind it.
  const [, name] = /<name>([^<]*)<\/name>/.exec(xml) ?? [];
  return name?.replaceAll(/&(lt|gt|quot|apos|amp);/g, (_, entity: string) => ENTITIES[entity] ?? '');
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
