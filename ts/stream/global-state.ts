import type { RandomAccessReader } from './reader.ts';
import type { StreamIndex } from './stream-index.ts';

/** The guest's run state, as a stream records it for the QEMU that loads it (docs/format.md §1.4). */
export interface GlobalState {
  /** Offset of the section's body. */
  readonly offset: number;
  /** QEMU's word: `running`, `paused`, `suspended`, `shutdown`, … */
  readonly runState: string;
  /** True when the guest was suspended to RAM, also when it was stopped on top of that. */
  readonly asleep: boolean;
}

/** Recorded run states that end a QEMU which takes the guest over. */
export const DEADLY_STATES: ReadonlySet<string> = new Set(['debug', 'save-vm', 'restore-vm']);
/** Recorded run states that a guest may not have: QEMU ends, or never lets it run. */
export const STATES_NOT_TAKEN: ReadonlySet<string> = new Set([
  ...DEADLY_STATES,
  'inmigrate',
  'finish-migrate',
]);

const NAME = 'globalstate';
/** Bytes of the section's header: type, section id, name with its length, instance, version. */
const HEADER = 1 + 4 + 1 + NAME.length + 4 + 4;
/** Bytes of the body: size, name of the run state, two flags, padding. */
const BODY = 4 + 32 + 1 + 1 + 66;
const FOOTER = 5;
const STATE_BYTES = 32;
const TYPE_FULL = 4;
const WORD = /^[a-z][a-z-]*$/;

/**
 * Reads the run state that a stream records.
 * @returns undefined when the stream has none, or does not tell where
 * @throws {MappedRamError} the reader's errors
 */
export async function readGlobalState(
  reader: RandomAccessReader,
  { sections, opaque }: Pick<StreamIndex, 'sections' | 'opaque'>,
): Promise<GlobalState | undefined> {
  const section = sections.findLast(({ idstr }) => idstr === NAME);
  if (section !== undefined) return readAt(reader, section.offset);
  return opaque === undefined ? undefined : readGlobalStateAtEnd(reader, opaque.offset + opaque.length);
}

/**
 * Reads the run state of a stream without a vmdescription: its section is the last, and the byte that ends the sections
 * comes behind.
 * @param end offset of the stream's end
 */
export async function readGlobalStateAtEnd(
  reader: RandomAccessReader,
  end: number,
): Promise<GlobalState | undefined> {
  const offset = end - 1 - FOOTER - BODY - HEADER;
  return offset < 0 ? undefined : readAt(reader, offset);
}

async function readAt(reader: RandomAccessReader, section: number): Promise<GlobalState | undefined> {
  if (section + HEADER + BODY > reader.size) return undefined;
  const bytes = await reader.read(section, HEADER + BODY);
  const name = String.fromCharCode(...bytes.subarray(6, 6 + NAME.length));
  if (bytes[0] !== TYPE_FULL || name !== NAME) return undefined;
  const body = bytes.subarray(HEADER);
  const text = String.fromCharCode(...body.subarray(4, 4 + STATE_BYTES));
  const [runState = ''] = text.split('\0');
  if (!WORD.test(runState)) return undefined;
  const asleep = runState === 'suspended' || (body[36] === 1 && body[37] === 1);
  return { offset: section + HEADER, runState, asleep };
}

/** Bytes that take the place of others in a stream that is carried over. */
export interface StreamPatch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The bytes that make a stream record another run state. Whether the guest is asleep stays as it is. */
export function runStatePatch({ offset }: GlobalState, runState: string): StreamPatch {
  const bytes = new Uint8Array(4 + STATE_BYTES);
  new DataView(bytes.buffer).setUint32(0, runState.length + 1);
  bytes.set(new TextEncoder().encode(runState), 4);
  return { offset, bytes };
}

/** The run state of a guest that was stopped only for its save. */
export function liveState({ asleep }: GlobalState): string {
  return asleep ? 'suspended' : 'running';
}

/** Run states in which the vCPUs run, or wait for something to wake them. */
const LIVE: ReadonlySet<string> = new Set(['running', 'suspended']);

/**
 * The run state that a stream is to record of a guest that was stopped for its save: the one that it had before, unless
 * it has come to an end of its own meanwhile. A state in which QEMU takes no guest over becomes `paused`.
 * @param before QEMU's answer to query-status before the stop
 * @param found QEMU's answer behind the stop, and whether the guest is asleep
 */
export function stateToRecord(before: string, found: Pick<GlobalState, 'runState' | 'asleep'>): string {
  if (LIVE.has(before) && found.runState === 'paused') return found.asleep ? 'suspended' : 'running';
  return STATES_NOT_TAKEN.has(found.runState) ? 'paused' : found.runState;
}
