import { MappedRamError } from '../../errors.ts';
import { encodeCommand } from '../command.ts';
import type { Configuration } from '../configuration.ts';
import type { StreamPatch } from '../global-state.ts';
import { encodeVmdescription } from '../section.ts';
import type { RamIndex, StreamHead, StreamIndex } from '../stream-index.ts';
import { encodeEmptyRamSection } from './encode-ram.ts';
import type { RamBlock } from './layout.ts';
import { PieceList } from './pieces.ts';
import { commandsBeforeRam, stateSections, type StateSections } from './state-sections.ts';

/** The parts of a new stream. */
export interface AssembleOptions {
  /** The stream that the device state comes from. Must be complete. */
  readonly state: StreamIndex;
  /** CONFIGURATION of the new stream. */
  readonly configuration: Configuration;
  readonly blocks: readonly RamBlock[];
  /** JSON to end the stream with: `readVmdescriptionFor`. The record is left out when undefined. */
  readonly vmdescription?: Uint8Array | undefined;
  /** Bytes that take the place of the state's own, by offset in the state's stream. Default none. */
  readonly patches?: readonly StreamPatch[] | undefined;
  /** Offset of the new stream in its file, in bytes. Default 0. */
  readonly base?: number;
}

/** The parts behind the pages of a mapped-ram file. */
export type BehindRamOptions = Pick<AssembleOptions, 'state' | 'vmdescription' | 'patches'>;

/**
 * Assembles everything that stands behind RAM's START section in a mapped-ram file, up to the stream's end.
 * @param offset of the first piece
 * @param sectionId RAM's section id in the START section. Default that of the state
 * @throws {MappedRamError} as `stateSections`
 */
export function piecesBehindRam(options: BehindRamOptions, offset: number, sectionId?: number): PieceList {
  const { sections, ram } = carriedState(options.state);
  const pieces = new PieceList(offset);
  pieces.copyAll(sections.early);
  pieces.copyAll(sections.switchover);
  pieces.bytes(encodeEmptyRamSection('end', sectionId ?? ram.sectionId));
  addTail(pieces, sections, options);
  return pieces;
}

/** The parts of a state that a new stream carries along. */
export function carriedState(state: StreamIndex): {
  readonly sections: StateSections;
  readonly ram: RamIndex;
  readonly records: Uint8Array;
} {
  const sections = stateSections(state);
  const ram = ramOf(state);
  const early = state.sections.filter(({ offset }) => offset < ram.offset);
  return {
    sections: { ...sections, early: [...early, ...sections.early] },
    ram,
    records: recordsBeforeRam(state),
  };
}

/** The RAM of a state. @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when there is none */
export function ramOf({ ram }: StreamHead): RamIndex {
  if (ram === undefined) throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'device state without RAM');
  return ram;
}

/** Whole records of the commands that go in front of RAM. */
export function recordsBeforeRam(state: StreamHead): Uint8Array {
  const records = new PieceList(0);
  for (const { code, data } of commandsBeforeRam(state)) records.bytes(encodeCommand(code, data));
  return records.joined();
}

/** Adds everything behind RAM: devices, EOF, vmdescription. */
export function addTail(
  pieces: PieceList,
  sections: StateSections,
  { vmdescription, patches = [] }: BehindRamOptions,
): void {
  for (const range of sections.devices) pieces.copyPatched(range, patches);
  pieces.copy(sections.eof);
  if (vmdescription !== undefined) pieces.bytes(encodeVmdescription(vmdescription));
}
