import {
  type IndexedSection,
  type RamIndex,
  type RandomAccessReader,
  readStreamIndex,
} from '../ts/stream/index.ts';
import { denseInput, withHoles, type SparseInput } from './sparse-input.ts';
import { inputReader } from './watched-reader.ts';

/** Inputs for the targets that read only a part of a file, made of a whole one. */
export interface Parts {
  /** Header and CONFIGURATION. */
  readonly configuration: SparseInput;
  /** RAM, in the form that the target `ram` wants. */
  readonly ram: SparseInput;
  /** The rest of the file from EOF on. */
  readonly tail: SparseInput;
  readonly json: readonly SparseInput[];
  /** The FULL sections as device state alone: magic and version, sections, the byte that ends them. */
  readonly fullSections: SparseInput;
}

/** Length in bytes of a section header of RAM, of a continued section's, and of a footer. */
const [START, CONTINUED, FOOTER] = [17, 5, 5];
/** Length in bytes of magic and version. */
const FILE_HEADER = 8;

export async function takeApart(file: SparseInput): Promise<Parts> {
  const reader = inputReader(file);
  const { ram, eofOffset, vmdescription, capabilities, sections } = await readStreamIndex(reader);
  if (ram === undefined || eofOffset === undefined) throw new Error('not a whole stream');
  const mapped = ram.form === 'mapped-ram' ? 1 : 0;
  const shared = capabilities.includes('x-ignore-shared') ? 2 : 0;
  const pageSize = [4096, 1024, 8192, 65_536].indexOf(ram.targetPageSize) << 2;
  const options = mapped | shared | pageSize;
  const part = async (from: number, to: number): Promise<SparseInput> =>
    withHoles(denseInput(await reader.read(from, to - from)));
  return {
    configuration: await part(0, ram.offset),
    ram: mapped === 1 ? mappedRam(file, ram, options) : await plainRam(reader, ram, options),
    tail: await part(eofOffset, reader.size),
    json:
      vmdescription === undefined
        ? []
        : [await part(vmdescription.jsonOffset, vmdescription.jsonOffset + vmdescription.jsonLength)],
    fullSections: await deviceState(reader, sections),
  };
}

/** Keeps RAM at its place: offsets in it are absolute. */
function mappedRam(file: SparseInput, { offset, startEnd = 0 }: RamIndex, options: number): SparseInput {
  const list = offset + START;
  const size = startEnd - FOOTER;
  const extents = file.extents
    .filter((extent) => extent.offset < size)
    .map((extent) => ({ offset: extent.offset, bytes: extent.bytes.slice(0, size - extent.offset) }));
  return {
    size,
    extents: [...extents, { offset: 0, bytes: Uint8Array.of(options, list >> 8, list & 0xff) }],
  };
}

async function deviceState(
  reader: RandomAccessReader,
  sections: readonly IndexedSection[],
): Promise<SparseInput> {
  const parts = [await reader.read(0, FILE_HEADER)];
  for (const { kind, offset, length } of sections)
    if (kind === 'full' && length !== undefined) parts.push(await reader.read(offset, length));
  return withHoles(denseInput(Uint8Array.from(Buffer.concat([...parts, Buffer.alloc(1)]))));
}

async function plainRam(
  reader: RandomAccessReader,
  { sections }: RamIndex,
  options: number,
): Promise<SparseInput> {
  const bytes = [options, 0, 3];
  for (const [place, { offset, length }] of sections.entries()) {
    const head = place === 0 ? START : CONTINUED;
    bytes.push(...(await reader.read(offset + head, length - head - FOOTER)));
  }
  return withHoles(denseInput(Uint8Array.from(bytes)));
}
