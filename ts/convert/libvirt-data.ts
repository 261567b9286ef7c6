import { MappedRamError } from '../errors.ts';
import { FileReader } from '../io/file-reader.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import {
  domainName,
  LIBVIRT_MAX_DATA,
  type LibvirtData,
  readLibvirtData,
  readLibvirtImage,
} from '../stream/read/libvirt-image.ts';

/**
 * Finds the domain's XML for a libvirt save image: in a file, or in the image that the snapshot comes from.
 * @param path a file with the XML, or another save image
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when there is none; ERR_MAPPED_RAM_IO; as `readLibvirtImage`
 *   and `readLibvirtData`
 */
export async function libvirtDataFor(
  { libvirt, reader, path: source }: Snapshot,
  path: string | undefined,
): Promise<LibvirtData> {
  if (path !== undefined) return readFrom(path);
  if (libvirt !== undefined) return readLibvirtData(reader, libvirt);
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    "a libvirt save image needs the domain's XML, and the source is no such image: name a file that virsh dumpxml has written (xml, --xml)",
    { path: source },
  );
}

async function readFrom(path: string): Promise<LibvirtData> {
  const reader = await FileReader.open(path, undefined);
  try {
    const image = await readLibvirtImage(reader);
    if (image !== undefined) return await readLibvirtData(reader, image);
    const isShort = reader.size <= LIBVIRT_MAX_DATA;
    const xml = isShort ? new TextDecoder().decode(await reader.read(0, reader.size)).trimEnd() : '';
    if (domainName(xml) !== undefined && !xml.includes('\0')) return { xml, cookie: undefined };
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', "the file holds no domain's XML", {
      path,
      expected: '<domain> with a <name>, or a save image of libvirt',
    });
  } finally {
    await reader.close();
  }
}
