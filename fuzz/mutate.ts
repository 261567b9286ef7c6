import type { Random } from './random.ts';
import { storedBytes, type Extent, type SparseInput } from './sparse-input.ts';

export interface MutateOptions {
  readonly random: Random;
  /** Another input of the corpus, to take pieces of. */
  readonly other: SparseInput;
  readonly dictionary: readonly Uint8Array[];
  /** Number of stored bytes that the result may have at most. */
  readonly maxBytes: number;
}

/** Numbers of changes to apply to one input: mostly few, so that the merits of the input stay. */
const STACK = [1, 1, 1, 2, 2, 3, 4, 8] as const;

/**
 * Exponents of two at which integers of 1, 2, 4 and 8 bytes, exact numbers of JavaScript, and pages have their edges.
 */
const EDGES = [0, 1, 2, 3, 7, 8, 12, 15, 16, 20, 31, 32, 52, 53, 63, 64] as const;

/** Returns another input, made of this one by some random changes. */
export function mutate(input: SparseInput, options: MutateOptions): SparseInput {
  const { random } = options;
  let { size, extents } = input;
  for (let changes = random.pick(STACK); changes > 0; changes -= 1) {
    if (extents.length === 0 || random.once(12)) {
      ({ size, extents } = reshape({ size, extents }, options));
    } else {
      ({ size, extents } = changeExtent({ size, extents }, options));
    }
  }
  const changed = { size, extents };
  return storedBytes(changed) > options.maxBytes ? input : changed;
}

function changeExtent(input: SparseInput, options: MutateOptions): SparseInput {
  const { size, extents } = input;
  const { random } = options;
  const place = random.below(extents.length);
  const extent = extents[place] ?? { offset: 0, bytes: new Uint8Array() };
  const end = extent.offset + extent.bytes.length;
  const bytes = changeBytes(extent.bytes, input, options);
  const by = bytes.length - extent.bytes.length;
  const changed = extents.with(place, { offset: extent.offset, bytes });
  // Records of the plain form follow each other, and can be shifted. Everything in the mapped-ram form has its place.
  if (by === 0 || (end < size && random.once(2))) return { size, extents: changed };
  const shifted = changed.map((other) =>
    other.offset < end ? other : { offset: other.offset + by, bytes: other.bytes },
  );
  return { size: Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, size + by)), extents: shifted };
}

/** Changes the places of extents and the end of the file. */
function reshape(input: SparseInput, { random, other }: MutateOptions): SparseInput {
  const { size, extents } = input;
  const place = random.below(extents.length);
  switch (random.below(6)) {
    case 0:
      return { size: random.below(size + 1), extents };
    case 1:
      // Large files take their readers long, so they are rare.
      return {
        size: Math.min(Number.MAX_SAFE_INTEGER, size + 2 ** random.below(random.once(32) ? 53 : 20)),
        extents,
      };
    case 2:
      return {
        size,
        extents: extents.map((extent, index) => (index === place ? moved(extent, random) : extent)),
      };
    case 3:
      return { size, extents: extents.toSpliced(place, 1) };
    case 4:
      return { size: Math.max(size, other.size), extents: [...extents, ...other.extents.slice(0, 1)] };
    default: {
      // The result has the head of one and the tail of the other.
      const tail = other.extents.slice(random.below(other.extents.length));
      return { size: other.size, extents: [...extents.slice(0, place + 1), ...tail] };
    }
  }
}

function moved({ offset, bytes }: Extent, random: Random): Extent {
  const by = 2 ** random.below(32) * (random.once(2) ? 1 : -1);
  return { offset: Math.max(0, Math.min(2 ** 52, offset + by)), bytes };
}

function changeBytes(bytes: Uint8Array, input: SparseInput, options: MutateOptions): Uint8Array {
  const { random, other, dictionary } = options;
  const at = random.below(bytes.length + 1);
  const word = dictionary[random.below(dictionary.length)] ?? new Uint8Array();
  switch (random.below(13)) {
    case 0:
      return overwritten(bytes, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.below(8))));
    case 1:
      return overwritten(bytes, at, Uint8Array.of(random.below(256)));
    case 2:
    case 3:
      return overwritten(bytes, at, bigEndian(interesting(input, random), 2 ** random.below(4)));
    case 4:
      return withSum(bytes, at, random);
    case 5:
      return spliced(bytes, at, 0, word);
    case 6:
      return overwritten(bytes, at, word);
    case 7:
      return spliced(bytes, at, random.length(bytes.length), new Uint8Array());
    case 8:
      return spliced(bytes, at, 0, bytes.subarray(at, at + random.length(bytes.length)));
    case 9:
      return spliced(bytes, at, 0, new Uint8Array(random.length(256)).fill(random.below(256)));
    case 10: {
      const { bytes: source = word } = other.extents[random.below(other.extents.length)] ?? {};
      const from = random.below(source.length);
      const piece = source.subarray(from, from + random.length(source.length - from));
      return random.once(2) ? spliced(bytes, at, 0, piece) : overwritten(bytes, at, piece);
    }
    case 11:
      return bytes.slice(0, at);
    default:
      return withDecimal(bytes, at, input, random);
  }
}

/** Picks a number at the edges of integer types, or one that means something in this very input, or nearly. */
function interesting({ size, extents }: SparseInput, random: Random): bigint {
  const extent = extents[random.below(extents.length)];
  const own = [size, extent?.offset ?? 0, extent?.bytes.length ?? 0] as const;
  const value = random.once(3) ? BigInt(random.pick(own)) : 2n ** BigInt(random.pick(EDGES));
  return random.once(8) ? 0n : value + BigInt(random.below(3) - 1);
}

function bigEndian(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value));
  return bytes.subarray(8 - length);
}

/** Adds a little to an integer of 1, 2, 4 or 8 bytes. */
function withSum(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const length = 2 ** random.below(4);
  let value = 0n;
  for (const byte of bytes.subarray(at, at + length)) value = value * 256n + BigInt(byte);
  const by = BigInt(random.length(0x2000)) * (random.once(2) ? 1n : -1n);
  return overwritten(bytes, at, bigEndian(value + by, length));
}

/** Replaces a number in a text, the next one behind `at`. */
function withDecimal(bytes: Uint8Array, at: number, input: SparseInput, random: Random): Uint8Array {
  const start = bytes.findIndex((byte, index) => index >= at && isDigit(byte));
  if (start === -1) return bytes;
  let end = start;
  while (isDigit(bytes[end])) end += 1;
  const texts = [interesting(input, random).toString(), '-1', '0.5', '1e300', 'null', '""'] as const;
  return spliced(bytes, start, end - start, Buffer.from(random.once(2) ? texts[0] : random.pick(texts)));
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/** Overwrites bytes without growing them: the part of the piece beyond their end is dropped. */
function overwritten(bytes: Uint8Array, at: number, piece: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed.set(piece.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
  return changed;
}

function spliced(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  const tail = bytes.subarray(Math.min(bytes.length, at + removed));
  const changed = new Uint8Array(at + added.length + tail.length);
  changed.set(bytes.subarray(0, at));
  changed.set(added, at);
  changed.set(tail, at + added.length);
  return changed;
}
