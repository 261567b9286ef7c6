import { MappedRamError } from '../errors.ts';

/** Address of the guest's status block: physical, 8-byte aligned, in a page of its own. */
export const STATUS_ADDRESS = 0x6000;
/** "GUES" read as a little-endian word. */
export const STATUS_MAGIC = 0x53455547;
/** Offsets of the block's little-endian 32-bit words. */
export const STATUS_WORDS = {
  magic: 0,
  /** Generation and page share an aligned 8 bytes: the guest turns to the next generation with one store. */
  generation: 8,
  page: 12,
  error: 16,
  badPage: 20,
  passes: 24,
} as const;
const STATUS_LENGTH = 28;

/** The guest's error word. */
export const GUEST_ERROR = {
  none: 0,
  /** A page of the region did not carry the previous generation's pattern. */
  page: 1,
  /** The status block did not agree with the guest's registers. */
  status: 2,
} as const;

/** Reads the guest's physical memory. The function must return exactly `length` bytes. */
export type ReadPhysical = (physicalAddress: number, length: number) => Uint8Array | Promise<Uint8Array>;

export interface GuestStatus {
  /** The generation being written, from 1. */
  readonly generation: number;
  /** The page being written; the region's number of pages when the generation is complete. */
  readonly page: number;
  /** One of GUEST_ERROR. */
  readonly error: number;
  /** The page that the guest found wrong; valid only when `error` is not 0. */
  readonly badPage: number;
  /** Generations completed. */
  readonly passes: number;
}

/**
 * Reads the status block of a stopped guest.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC when there is none: the guest has not started its work yet, or this
 *   is another guest's memory
 */
export async function readGuestStatus(read: ReadPhysical): Promise<GuestStatus> {
  const bytes = await read(STATUS_ADDRESS, STATUS_LENGTH);
  if (bytes.length !== STATUS_LENGTH) {
    throw new MappedRamError('ERR_MAPPED_RAM_TRUNCATED', "the guest's status block cannot be read", {
      offset: STATUS_ADDRESS,
      expected: STATUS_LENGTH,
      found: bytes.length,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (offset: number): number => view.getUint32(offset, true);
  const magic = word(STATUS_WORDS.magic);
  if (magic !== STATUS_MAGIC) {
    throw new MappedRamError('ERR_MAPPED_RAM_BAD_MAGIC', 'no status block of the built-in guest', {
      offset: STATUS_ADDRESS,
      expected: `0x${STATUS_MAGIC.toString(16)}`,
      found: `0x${magic.toString(16)}`,
    });
  }
  return {
    generation: word(STATUS_WORDS.generation),
    page: word(STATUS_WORDS.page),
    error: word(STATUS_WORDS.error),
    badPage: word(STATUS_WORDS.badPage),
    passes: word(STATUS_WORDS.passes),
  };
}
