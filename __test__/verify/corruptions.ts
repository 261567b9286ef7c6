import { bitmapBytes } from '../../ts/stream/page-area.ts';
import type { FileHandle } from 'node:fs/promises';

import type { MappedRamBlock, StreamIndex, StreamRecord } from '../../ts/stream/index.ts';
import { readAt, type Corruption, type Write } from './corruption.ts';
import { fieldsOf, type Field } from './fields.ts';
import { Noise } from './noise.ts';

/** A complete snapshot, and the findings of a walk through it. */
export interface Target {
  readonly handle: FileHandle;
  readonly index: StreamIndex;
  readonly records: readonly StreamRecord[];
  readonly blocks: readonly MappedRamBlock[];
}

/**
 * Ways to damage a snapshot, the same for the same seed. Truncations come last, the smallest at the end.
 * @param perKind the number of corruptions of each kind that could have any number
 */
export async function corruptionsOf(
  target: Target,
  seed: number,
  perKind: number,
): Promise<readonly Corruption[]> {
  const noise = new Noise(seed);
  const fields = fieldsOf(target);
  const [hidden, shown] = [true, false].map((which) => fields.filter((field) => field.hidden === which));
  return [
    ...(await flips(target, noise, noise.sample(shown ?? [], perKind * 3))),
    ...(await flips(target, noise, noise.sample(hidden ?? [], perKind))),
    ...(await bitmapFlips(target, noise, perKind)),
    ...(await pageFlips(target, noise, perKind)),
    ...overlaps(target),
    ...gigantic(target),
    clearBitmaps(target),
    ...appended(target, noise),
    ...removedSections(target, noise, perKind),
    ...truncations(target, noise),
  ];
}

function one(title: string, hidden: boolean, writes: readonly Write[]): Corruption {
  return { title, hidden, change: { kind: 'write', writes } };
}

async function flip({ handle }: Target, offset: number, bit: number): Promise<Write> {
  const [byte = 0] = await readAt(handle, offset, 1);
  return { offset, bytes: Uint8Array.of(byte ^ (1 << bit)) };
}

/** Flips of one bit in each field. */
async function flips(target: Target, noise: Noise, fields: readonly Field[]): Promise<readonly Corruption[]> {
  const found: Corruption[] = [];
  for (const { title, offset, length, hidden } of fields) {
    const at = noise.below(length);
    const bit = noise.below(8);
    const write = await flip(target, offset + at, bit);
    found.push(one(`bit ${bit} of byte ${at} of the ${title}`, hidden, [write]));
  }
  return found;
}

/** Flips of bits that stand for pages, and of bits beyond the last page. */
async function bitmapFlips(target: Target, noise: Noise, perKind: number): Promise<readonly Corruption[]> {
  const found: Corruption[] = [];
  for (const { id, area } of target.blocks) {
    const { bitmapOffset } = area;
    const pages = area.length / area.pageSize;
    const spare = bitmapBytes(area) * 8 - pages;
    const bits = Array.from({ length: 2 }, () => noise.below(pages));
    const beyond = spare > 0 ? [pages + noise.below(spare)] : [];
    for (const bit of [...bits, ...beyond]) {
      const write = await flip(target, bitmapOffset + Math.floor(bit / 8), bit % 8);
      // A set bit of a page that is zero anyway does not change the page's digest, but it changes the bitmap's.
      found.push(one(`bit ${bit} of the bitmap of ${id}, which has ${pages} pages`, bit < pages, [write]));
    }
  }
  return noise.sample(found, perKind);
}

async function pageFlips(target: Target, noise: Noise, count: number): Promise<readonly Corruption[]> {
  const places: { readonly block: MappedRamBlock; readonly page: number }[] = [];
  for (const block of target.blocks) {
    const bitmap = await readAt(target.handle, block.area.bitmapOffset, bitmapBytes(block.area));
    for (let page = 0; page < block.length / block.area.pageSize; page += 1) {
      if ((((bitmap[page >>> 3] ?? 0) >>> (page & 7)) & 1) === 1) places.push({ block, page });
    }
  }
  const found: Corruption[] = [];
  for (let made = 0; made < count; made += 1) {
    const place = places[noise.below(places.length)];
    if (place === undefined) throw new Error('a snapshot without pages');
    const { block, page } = place;
    const at = noise.below(block.area.pageSize);
    const bit = noise.below(8);
    const write = await flip(target, block.area.pagesOffset + page * block.area.pageSize + at, bit);
    found.push(one(`bit ${bit} of byte ${at} of page ${page} of ${block.id}`, true, [write]));
  }
  return found;
}

function be64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function overlaps({ blocks }: Target): readonly Corruption[] {
  return blocks.flatMap((block, index) => {
    const other = blocks[(index + 1) % blocks.length] ?? block;
    const bitmapField = block.headerOffset + 12;
    const pagesField = block.headerOffset + 20;
    const write = (title: string, offset: number, value: number): Corruption =>
      one(`${title} of ${block.id}`, false, [{ offset, bytes: be64(BigInt(value)) }]);
    return [
      write('the bitmap in its own pages', bitmapField, block.area.pagesOffset),
      write('the bitmap in its own header', bitmapField, block.headerOffset),
      ...(other === block
        ? []
        : [
            write(`the pages of ${other.id}`, pagesField, other.area.pagesOffset),
            write(`the bitmap of ${other.id}`, bitmapField, other.area.bitmapOffset),
            write(`the bitmap in the pages of ${other.id}`, bitmapField, other.area.pagesOffset),
          ]),
    ];
  });
}

const GIGANTIC: readonly bigint[] = [2n ** 40n, 2n ** 52n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 4096n];

/** Lengths and offsets that no file has. */
function gigantic({ blocks, records }: Target): readonly Corruption[] {
  const fields = blocks.slice(0, 2).flatMap(({ id, headerOffset }) => [
    { title: `length of ${id}`, offset: headerOffset - 8 },
    { title: `page_size of ${id}`, offset: headerOffset + 4 },
    { title: `bitmap_offset of ${id}`, offset: headerOffset + 12 },
    { title: `pages_offset of ${id}`, offset: headerOffset + 20 },
  ]);
  const found = fields.flatMap(({ title, offset }) =>
    GIGANTIC.map((value) => one(`${title} = ${value}`, false, [{ offset, bytes: be64(value) }])),
  );
  const list = records.find(({ type }) => type === 'ram-list');
  for (const value of list === undefined ? [] : GIGANTIC) {
    // The first block's length changes with the sum: the sum alone would be a contradiction.
    const length = (blocks[0]?.headerOffset ?? 0) - 8;
    found.push(
      one(`sum of the blocks and length of the first = ${value}`, false, [
        { offset: list?.offset ?? 0, bytes: be64(value + 4n) },
        { offset: length, bytes: be64(value) },
      ]),
    );
  }
  const vmdescription = records.find(({ type }) => type === 'vmdescription');
  if (vmdescription !== undefined) {
    const write = { offset: vmdescription.offset + 1, bytes: Buffer.from('ffffffff', 'hex') };
    found.push(one('length of the vmdescription = 4 GiB', false, [write]));
  }
  return found;
}

function clearBitmaps({ blocks }: Target): Corruption {
  const writes = blocks.map(({ area }) => ({
    offset: area.bitmapOffset,
    bytes: new Uint8Array(bitmapBytes(area)),
  }));
  return one('all bitmaps clear', false, writes);
}

function appended({ index }: Target, noise: Noise): readonly Corruption[] {
  const garbage: readonly (readonly [string, Buffer])[] = [
    ['a zero', Buffer.alloc(1)],
    ['a page of zeros', Buffer.alloc(4096)],
    ['noise', noise.bytes(1000)],
    ['a newline', Buffer.from('\n')],
    ['the beginning of another stream', Buffer.from('5145564d00000003070000000b', 'hex')],
    ['another vmdescription', Buffer.from('\u0006\0\0\0\u000e{"devices":[]}', 'latin1')],
    ['an EOF and a vmdescription', Buffer.from('\0\u0006\0\0\0\u000e{"devices":[]}', 'latin1')],
  ];
  return garbage.map(([title, bytes]) => ({
    title: `${title} appended`,
    hidden: false,
    change: { kind: 'tail', from: index.size, change: () => bytes },
  }));
}

/** Streams in which device sections are missing, or stand twice. */
function removedSections({ index }: Target, noise: Noise, count: number): readonly Corruption[] {
  return noise.sample(index.sections, Math.ceil(count / 2)).flatMap(({ idstr, offset, length }) => [
    {
      title: `section ${idstr} missing`,
      hidden: false,
      change: { kind: 'tail', from: offset, change: (tail) => tail.subarray(length) },
    },
    {
      title: `section ${idstr} twice`,
      hidden: false,
      change: {
        kind: 'tail',
        from: offset,
        change: (tail) => Buffer.concat([tail.subarray(0, length), tail]),
      },
    },
  ]);
}

/** Truncations at the border of every record and somewhere inside each, and in bitmaps and page areas. */
function truncations({ records, blocks, index }: Target, noise: Noise): readonly Corruption[] {
  const sizes = new Map<number, string>([[0, 'nothing left']]);
  for (const { type, offset, length } of records) {
    sizes.set(offset, `cut before a record (${type})`);
    sizes.set(offset + 1 + noise.below(length - 1), `cut inside a record (${type})`);
  }
  for (const { id, area } of blocks) {
    const { bitmapOffset, pagesOffset, length } = area;
    sizes.set(bitmapOffset + noise.below(bitmapBytes(area)), `cut in the bitmap of ${id}`);
    sizes.set(pagesOffset + noise.below(length), `cut in the pages of ${id}`);
  }
  sizes.set(index.size - 1, 'the last byte missing');
  return [...sizes]
    .filter(([size]) => size < index.size)
    .toSorted(([left], [right]) => right - left)
    .map(([size, title]) => ({
      title: `${title}, at ${size}`,
      hidden: false,
      change: { kind: 'truncate', size },
    }));
}
