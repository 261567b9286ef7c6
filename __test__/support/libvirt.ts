export interface LibvirtHeaderOptions {
  /** Bytes of XML, cookie and padding that follow the header. */
  readonly dataLength: number;
  readonly magic?: string;
  readonly version?: number;
  readonly wasRunning?: boolean;
  readonly format?: number;
  readonly cookieOffset?: number;
  readonly littleEndian?: boolean;
}

/** The 92 bytes of the header that libvirt puts first (docs/format.md §12). */
export function libvirtHeader(options: LibvirtHeaderOptions): Uint8Array {
  const { dataLength, magic = 'LibvirtQemudSave', version = 2, wasRunning = false } = options;
  const { format = 0, cookieOffset = 0, littleEndian = true } = options;
  const bytes = new Uint8Array(92);
  bytes.set(new TextEncoder().encode(magic));
  const view = new DataView(bytes.buffer);
  for (const [index, value] of [version, dataLength, Number(wasRunning), format, cookieOffset].entries()) {
    view.setUint32(16 + 4 * index, value, littleEndian);
  }
  return bytes;
}

/** All bytes before the stream: header, XML, cookie and padding. */
export function libvirtBeginning(
  format: 'raw' | 'sparse',
  options: Partial<LibvirtHeaderOptions> = {},
): Uint8Array {
  const xml = Buffer.from('<domain type="kvm"><name>guest</name></domain>\0');
  const cookie = Buffer.from('<cookie/>\0');
  const data = Buffer.concat([xml, cookie, Buffer.alloc(64 * 1024)]);
  const header = libvirtHeader({
    dataLength: data.length,
    wasRunning: true,
    format: format === 'raw' ? 0 : 6,
    cookieOffset: xml.length,
    ...options,
  });
  return Buffer.concat([header, data]);
}
