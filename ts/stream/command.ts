import { MappedRamError } from '../errors.ts';
import { ByteWriter } from './write/byte-writer.ts';
import { RECORD } from './constants.ts';
import type { StreamCursor } from './read/stream-cursor.ts';

interface CommandKind {
  readonly code: number;
  readonly name: string;
  /** The lengths in bytes that QEMU accepts; undefined when they vary. */
  readonly lengths?: readonly number[];
}

/** The commands of docs/format.md §1.3. */
const KINDS: readonly CommandKind[] = [
  { code: 1, name: 'OPEN_RETURN_PATH', lengths: [0] },
  { code: 2, name: 'PING', lengths: [4] },
  { code: 3, name: 'POSTCOPY_ADVISE', lengths: [0, 16] },
  { code: 4, name: 'POSTCOPY_LISTEN', lengths: [0] },
  { code: 5, name: 'POSTCOPY_RUN', lengths: [0] },
  { code: 6, name: 'POSTCOPY_RAM_DISCARD' },
  { code: 7, name: 'PACKAGED', lengths: [4] },
  { code: 8, name: 'ENABLE_COLO', lengths: [0] },
  { code: 9, name: 'POSTCOPY_RESUME', lengths: [0] },
  { code: 10, name: 'RECV_BITMAP' },
  { code: 11, name: 'SWITCHOVER_START', lengths: [0] },
];

/** Tells whether QEMU knows a command of this code and length. PACKAGED, which has a stream behind it, is none here. */
export function isCommandHead(code: number, length: number): boolean {
  const kind = KINDS.find((candidate) => candidate.code === code);
  return kind !== undefined && code !== PACKAGED && (kind.lengths?.includes(length) ?? true);
}

/** Commands about a connection, or about how memory will come: they mean nothing to a stream whose RAM is written anew. */
const DROPPED: ReadonlySet<number> = new Set([1, 2, 3, 8]);

/**
 * Tells whether a stream whose RAM is written anew keeps a command (docs/format.md §1.3).
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for the commands of a postcopy that is under way: the pages that
 *   they ask for come over another channel
 */
export function isCarriedCommand(code: number, offset: number): boolean {
  if (code === SWITCHOVER_START) return true;
  if (DROPPED.has(code)) return false;
  const name = KINDS.find((kind) => kind.code === code)?.name ?? code;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `command ${name}: the memory comes by postcopy`, {
    offset,
  });
}

export const SWITCHOVER_START = 11;
export const POSTCOPY_ADVISE = 3;
const PACKAGED = 7;

/** A COMMAND as found in a stream (docs/format.md §1.3). */
interface Command {
  readonly code: number;
  readonly name: string;
  readonly data: Uint8Array;
}

/**
 * Encodes a COMMAND.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for an unknown code or a length that QEMU refuses
 */
export function encodeCommand(code: number, data: Uint8Array = new Uint8Array()): Uint8Array {
  const kind = KINDS.find((candidate) => candidate.code === code);
  if (kind === undefined || (kind.lengths !== undefined && !kind.lengths.includes(data.length))) {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'command or its length', {
      expected: kind?.lengths?.join(' or ') ?? '1 to 11',
      found: kind === undefined ? code : data.length,
    });
  }
  return new ByteWriter().u8(RECORD.command).u16(code).u16(data.length).bytes(data).finish();
}

/**
 * Reads a COMMAND behind its type byte.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a command that is unknown or whose data is a stream of its
 *   own (PACKAGED: postcopy writes it, no file holds it); ERR_MAPPED_RAM_CORRUPT for a wrong length
 */
export async function decodeCommand(cursor: StreamCursor): Promise<Command> {
  const offset = cursor.position - 1;
  await cursor.need(4);
  const code = cursor.u16();
  const length = cursor.u16();
  const kind = KINDS.find((candidate) => candidate.code === code);
  if (kind === undefined || code === PACKAGED) {
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `command ${kind?.name ?? code}`, {
      path: cursor.reader.name,
      offset,
    });
  }
  if (kind.lengths !== undefined && !kind.lengths.includes(length)) {
    const expected = kind.lengths.join(' or ');
    throw cursor.corrupt(`length of command ${kind.name}`, { offset, expected, found: length });
  }
  // A be16 length is below the cursor's window.
  await cursor.need(length);
  return { code, name: kind.name, data: cursor.bytes(length) };
}
