import { LIBVIRT_HEADER_BYTES, LIBVIRT_MAGIC, type LibvirtData } from '../read/libvirt-image.ts';

/** The version with a format and a cookie. */
const VERSION = 2;
/** libvirt's number for a plain stream. */
const RAW = 0;
/** Bytes that libvirt leaves behind the XML, so that `virsh save-image-edit` can make it longer. */
const PADDING = 64 * 1024;

/**
 * Encodes everything that stands before the stream in a libvirt save image (docs/format.md §12).
 * @param wasRunning true when libvirt is to let the guest run
 */
export function encodeLibvirtHead({ xml, cookie }: LibvirtData, wasRunning: boolean): Uint8Array {
  const encoder = new TextEncoder();
  const texts = [xml, ...(cookie === undefined ? [] : [cookie])].map((text) => encoder.encode(`${text}\0`));
  const dataLength = texts.reduce((sum, { length }) => sum + length, PADDING);
  const bytes = new Uint8Array(LIBVIRT_HEADER_BYTES + dataLength);
  bytes.set(encoder.encode(LIBVIRT_MAGIC));
  const cookieOffset = cookie === undefined ? 0 : (texts[0]?.length ?? 0);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of [VERSION, dataLength, Number(wasRunning), RAW, cookieOffset].entries()) {
    view.setUint32(16 + 4 * index, value, true);
  }
  let offset = LIBVIRT_HEADER_BYTES;
  for (const text of texts) {
    bytes.set(text, offset);
    offset += text.length;
  }
  return bytes;
}
