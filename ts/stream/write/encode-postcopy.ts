import type { Configuration } from '../configuration.ts';
import { encodeCommand, POSTCOPY_ADVISE } from '../command.ts';
import { DEFAULT_TARGET_PAGE_SIZE, RAM_SECTION_ID } from '../constants.ts';
import { encodeName } from '../text.ts';
import { ByteWriter } from './byte-writer.ts';
import { encodePlainRamStart } from './encode-ram.ts';

const OPEN_RETURN_PATH = 1;
const PING = 2;
const LISTEN = 4;
const RUN = 5;
const DISCARD = 6;
const PACKAGED = 7;
/** The first version of DISCARD, and the only one. */
const DISCARD_VERSION = 0;

/** The PING that QEMU answers when its devices are loaded: the guest runs next (docs/format.md §14). */
export const LOADED_PING = 3;

/** A block as the destination has it. */
export interface PostcopyBlock {
  readonly id: string;
  /** Length in bytes. */
  readonly length: number;
  /** Page size of the destination's memory beneath, in bytes. */
  readonly hostPageSize: number;
}

export interface PostcopyOpeningOptions {
  /** Machine type and the like. Capabilities are left out: QEMU does not compare them here. */
  readonly configuration: Configuration;
  /** All blocks, in the order of the file. At least one. */
  readonly blocks: readonly PostcopyBlock[];
  /** RAM's section id. @default 1 */
  readonly sectionId?: number;
  /** Whole sections of all devices. */
  readonly devices: Uint8Array;
}

/**
 * Encodes all that the source of a postcopy migration sends before the guest runs (docs/format.md §14.1). Pages follow
 * when QEMU has answered the last PING, or when it asks for them.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for bad blocks, or for none at all
 */
export function encodePostcopyOpening(options: PostcopyOpeningOptions): Uint8Array {
  const { configuration, blocks, sectionId = RAM_SECTION_ID, devices } = options;
  const plain = { ...configuration, capabilities: [] };
  const records = new ByteWriter()
    .bytes(encodeCommand(OPEN_RETURN_PATH))
    .bytes(encodePing(1))
    .bytes(encodeAdvice(blocks))
    .finish();
  const entries = blocks.map(({ id, length, hostPageSize }) =>
    hostPageSize === DEFAULT_TARGET_PAGE_SIZE ? { id, length } : { id, length, pageSize: hostPageSize },
  );
  const packaged = new ByteWriter()
    .bytes(encodeCommand(LISTEN))
    .bytes(devices)
    .bytes(encodePing(LOADED_PING))
    .bytes(encodeCommand(RUN))
    .finish();
  return new ByteWriter()
    .bytes(encodePlainRamStart({ configuration: plain, blocks: entries, sectionId, records }))
    .bytes(encodeDiscard(blocks))
    .bytes(encodeCommand(PACKAGED, new ByteWriter().u32(packaged.length).finish()))
    .bytes(packaged)
    .finish();
}

function encodePing(number: number): Uint8Array {
  return encodeCommand(PING, new ByteWriter().u32(number).finish());
}

/** The page sizes of all blocks in one number, by which QEMU sees whether both sides agree. */
function encodeAdvice(blocks: readonly PostcopyBlock[]): Uint8Array {
  // Page sizes may lie beyond 32 bits, where the operators of JavaScript end.
  const sizes = new Set(blocks.map(({ hostPageSize }) => hostPageSize));
  const sum = [...sizes].reduce((total, size) => total + size, 0);
  return encodeCommand(POSTCOPY_ADVISE, new ByteWriter().u64(sum).u64(DEFAULT_TARGET_PAGE_SIZE).finish());
}

/**
 * Discards the first host page of the smallest block, which is empty anyway: without any DISCARD, QEMU forgets at LISTEN
 * that it listens (docs/format.md §14.2).
 */
function encodeDiscard(blocks: readonly PostcopyBlock[]): Uint8Array {
  const [smallest] = blocks.toSorted((left, right) => left.length - right.length);
  const id = encodeName(smallest?.id ?? '', 'block id');
  return encodeCommand(
    DISCARD,
    new ByteWriter()
      .u8(DISCARD_VERSION)
      .u8(id.length)
      .bytes(id)
      .u8(0)
      .u64(0)
      .u64(smallest?.hostPageSize ?? 0)
      .finish(),
  );
}
