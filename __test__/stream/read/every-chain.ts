/** A section of a way through device state. */
export interface ChainLink {
  readonly sectionId: number;
  /** Name and instance. */
  readonly name: string;
  readonly offset: number;
  readonly footerOffset: number;
}

/**
 * Every way to divide device state into sections, found by trying all. Each section ends at a footer of its id that
 * another section or the last byte follows.
 */
export function everyChain(bytes: Buffer, at: number): readonly (readonly ChainLink[])[] {
  if (at === bytes.length - 1 && bytes[at] === 0) return [[]];
  const body = bodyAt(bytes, at);
  if (body === undefined) return [];
  const footer = Buffer.concat([Buffer.from([0x7e]), bytes.subarray(at + 1, at + 5)]);
  const sectionId = bytes.readUInt32BE(at + 1);
  const name = bytes.toString('latin1', at + 6, body - 4);
  const chains: (readonly ChainLink[])[] = [];
  for (let end = bytes.indexOf(footer, body); end !== -1; end = bytes.indexOf(footer, end + 1)) {
    for (const rest of everyChain(bytes, end + 5))
      chains.push([{ sectionId, name, offset: at, footerOffset: end }, ...rest]);
  }
  return chains;
}

/** Offset of the body of the section at `at`; undefined when no section can be there. */
function bodyAt(bytes: Buffer, at: number): number | undefined {
  const length = bytes[at + 5];
  if (bytes[at] !== 4 || length === undefined || length === 0) return undefined;
  const body = at + 6 + length + 8;
  const isText = bytes.subarray(at + 6, at + 6 + length).every((byte) => byte >= 0x20 && byte !== 0x7f);
  return body <= bytes.length && isText ? body : undefined;
}
