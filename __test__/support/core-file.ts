import type { FileHandle } from 'node:fs/promises';

/** One PT_LOAD of an ELF64 core file. Addresses are numbers: these guests are small. */
export interface Load {
  readonly address: number;
  readonly length: number;
  readonly fileOffset: number;
}

export interface CoreFile {
  readonly machine: number;
  readonly notes: Buffer;
  readonly loads: readonly Load[];
}

const PT_LOAD = 1;
const PT_NOTE = 4;

/** Reads the headers of a little-endian ELF64 core file. */
export async function readCore(handle: FileHandle): Promise<CoreFile> {
  const header = await bytesAt(handle, 0, 64);
  if (header.readUInt32BE(0) !== 0x7f454c46) throw new Error('no ELF file');
  if (header[4] !== 2 || header[5] !== 1 || header.readUInt16LE(16) !== 4)
    throw new Error('no ELF64 LE core');
  const [start, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(56)];
  const loads: Load[] = [];
  let notes: Buffer = Buffer.alloc(0);
  for (let index = 0; index < count; index += 1) {
    const entry = await bytesAt(handle, start + 56 * index, 56);
    const [fileOffset, virtual, address, length, inMemory] = [8, 16, 24, 32, 40].map((at) =>
      Number(entry.readBigUInt64LE(at)),
    );
    if (fileOffset === undefined || address === undefined || length === undefined)
      throw new Error('no header');
    if (length !== inMemory || virtual !== address) throw new Error('a load that is not as QEMU writes it');
    const type = entry.readUInt32LE(0);
    if (type === PT_NOTE) notes = await bytesAt(handle, fileOffset, length);
    else if (type === PT_LOAD) loads.push({ address, length, fileOffset });
  }
  return { machine: header.readUInt16LE(18), notes, loads };
}

/** The ranges that loads cover. Ranges that touch are one. */
export function covered(loads: readonly Load[]): readonly (readonly [start: string, end: string])[] {
  const ranges: { start: number; end: number }[] = [];
  for (const { address, length } of loads.toSorted((left, right) => left.address - right.address)) {
    const last = ranges.at(-1);
    if (last?.end === address) last.end += length;
    else ranges.push({ start: address, end: address + length });
  }
  return ranges.map(({ start, end }) => [start.toString(16), end.toString(16)]);
}

export async function bytesAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
  if (bytesRead < length) throw new Error(`${length} bytes at ${offset}: the file ends`);
  return buffer;
}

/** The memory at an address, out of all the loads that have a part of it. */
export async function memoryAt(
  handle: FileHandle,
  { loads }: CoreFile,
  address: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let found = 0;
  for (const load of loads) {
    const [start, end] = [
      Math.max(address, load.address),
      Math.min(address + length, load.address + load.length),
    ];
    if (start >= end) continue;
    (await bytesAt(handle, load.fileOffset + start - load.address, end - start)).copy(bytes, start - address);
    found += end - start;
  }
  if (found !== length)
    throw new Error(`of ${length} bytes at ${address} only ${found} are in the core file`);
  return bytes;
}
