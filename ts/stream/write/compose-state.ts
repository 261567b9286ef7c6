import { MappedRamError } from '../../errors.ts';
import type { Configuration } from '../configuration.ts';
import { RAM_SECTION_ID } from '../constants.ts';
import { readGlobalState, runStatePatch, stateToRecord, type StreamPatch } from '../global-state.ts';
import { machinePages } from './machine-pages.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { SectionRecord } from '../records.ts';
import { encodeEof, encodeSectionContinuation, encodeVmdescription } from '../section.ts';
import type { StreamIndex } from '../stream-index.ts';
import { composeVmdescription } from '../vmdescription/compose-vmdescription.ts';
import { rewriteVmdescription } from '../vmdescription/rewrite-vmdescription.ts';
import { plainConfiguration } from './configuration-forms.ts';
import { encodePlainRamStart, encodeRamEos } from './encode-ram.ts';
import type { RamBlock } from './layout.ts';
import { PieceList, type StreamPiece } from './pieces.ts';

/** The machine of a stream. */
export interface StreamMachine {
  readonly configuration: Configuration;
  /** In bytes. */
  readonly targetPageSize: number;
}

/** The facts about a machine that its QEMU tells, or an earlier stream of it. */
export interface MachineFacts {
  /** The machine type, resolved: QOM's name of the machine's type without `-machine`. */
  readonly machine: string;
  /** The architecture, as query-target names it. */
  readonly target: string;
  /** A complete stream of this machine. Default none. */
  readonly base?: StreamIndex | undefined;
}

/** The parts of a composed stream. */
export interface ComposeOptions extends StreamMachine {
  /** The architecture, as query-target names it. Default unknown: then no CPU is described without a base. */
  readonly target?: string | undefined;
  /** The sections of the device state: `splitFullSections`. */
  readonly sections: readonly SectionRecord[];
  /** Every RAM block of the machine, in QEMU's order, with its used length as the guest stands still. */
  readonly blocks: readonly RamBlock[];
  /** A complete stream of this machine, which describes devices. Default none. */
  readonly base?: StreamIndex | undefined;
  readonly runState: {
    /** QEMU's answer to query-status before the guest was stopped. */
    readonly before: string;
    /** QEMU's answer while the guest stands still. */
    readonly stopped: string;
  };
  /** Further members of the vmdescription. Default none. */
  readonly members?: Readonly<Record<string, unknown>> | undefined;
}

/** A composed stream. */
export interface ComposedState {
  /** The stream in order, without gaps. Stretches to copy lie in the device state. */
  readonly pieces: readonly StreamPiece[];
  /** Bytes of the stream. */
  readonly size: number;
}

/** The end of the name of a section that QEMU writes before the guest's memory (docs/format.md §1.4). */
const EARLY = /(?:^|\/)virtio-mem-device-early$/;

/**
 * The machine of a stream to compose. What an earlier stream of the machine has in CONFIGURATION stays: page size, UUID.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when the base is of another machine type;
 *   ERR_MAPPED_RAM_UNSUPPORTED when nothing tells the machine's page size, or the base has state that device state alone
 *   leaves out; the base's problem when it is not complete
 */
export function streamMachine({ machine, target, base }: MachineFacts): StreamMachine {
  if (base !== undefined) {
    assertComposable(base);
    if (base.machine !== machine) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the base is of another machine type', {
        expected: machine,
        found: base.machine,
      });
    }
  }
  const { ram } = base ?? {};
  if (base !== undefined && ram !== undefined) {
    return { configuration: plainConfiguration(base.configuration), targetPageSize: ram.targetPageSize };
  }
  const pages = machinePages(target, machine);
  if (pages === undefined) {
    const words = `nothing tells how large the pages of this machine are: ${machine} of ${target}`;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, {
      expected: 'an earlier snapshot of the machine',
    });
  }
  const { targetPageSize, targetPageBits } = pages;
  const configuration = { machine, capabilities: [] };
  return {
    configuration: targetPageBits === undefined ? configuration : { ...configuration, targetPageBits },
    targetPageSize,
  };
}

/**
 * Refuses a base whose machine has live state beside RAM (docs/format.md §1.8): device state alone leaves it out, and
 * the guest would lose it without a word.
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED; the base's problem when it is not complete
 */
export function assertComposable({ sections, problem }: StreamIndex): void {
  if (problem !== undefined) throw problem;
  const live = sections.find(({ kind }) => kind !== 'full');
  if (live === undefined) return;
  const { idstr, offset } = live;
  const words = `QEMU's device state alone would leave out the state of ${idstr}, which the base has`;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, { offset });
}

/**
 * Composes a plain stream that lists RAM blocks and brings no page of them, out of device state alone (docs/format.md
 * §4.4). `pack` makes a snapshot of it and memory, and any QEMU loads it on top of memory that is in place.
 *
 * @param reader of the device state
 * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when the device state records no run state; as `assertComposable`,
 *   `composeVmdescription` and `encodePlainRamStart`; and the reader's errors
 */
export async function composeState(
  reader: RandomAccessReader,
  options: ComposeOptions,
): Promise<ComposedState> {
  const { sections, configuration, targetPageSize, blocks, base, members } = options;
  if (base !== undefined) assertComposable(base);
  const sectionId = ramSectionId(sections, base);
  const patches = [await runStateOf(reader, options), ...renumbered(sections, sectionId)].toSorted(
    (one, other) => one.offset - other.offset,
  );
  const early = sections.filter((section) => isEarly(section, base));
  const devices = sections.filter((section) => !early.includes(section));
  const json = await composeVmdescription(reader, {
    target: options.target,
    sections: [...early, ...devices],
    configuration,
    targetPageSize,
    base: base?.vmdescription?.json,
    members,
  });
  const pieces = new PieceList(0);
  pieces.bytes(encodePlainRamStart({ configuration, blocks, sectionId, targetPageSize }));
  for (const section of early) pieces.copyPatched(section, patches);
  pieces.bytes(encodeSectionContinuation('end', sectionId));
  pieces.bytes(encodeRamEos(sectionId));
  for (const section of devices) pieces.copyPatched(section, patches);
  pieces.bytes(encodeEof());
  pieces.bytes(encodeVmdescription(rewriteVmdescription(json, configuration.capabilities)));
  const { list } = pieces;
  return { pieces: list, size: pieces.offset };
}

/** Device state alone says `running` of every guest. It does tell a guest that is asleep. */
async function runStateOf(
  reader: RandomAccessReader,
  { sections, runState: { before, stopped } }: ComposeOptions,
): Promise<StreamPatch> {
  const indexed = sections.map((section) => ({ ...section, early: false }));
  const found = await readGlobalState(reader, { sections: indexed, opaque: undefined });
  if (found === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the device state records no run state', {
      path: reader.name,
      expected: 'a section globalstate',
    });
  }
  const { asleep } = found;
  return runStatePatch(found, stateToRecord(before, { runState: stopped, asleep }));
}

/** Tells whether QEMU writes a section before the guest's memory: the base tells of its own devices. */
function isEarly({ idstr, instanceId }: SectionRecord, base: StreamIndex | undefined): boolean {
  if (EARLY.test(idstr)) return true;
  const known = base?.sections.find(
    (section) => section.idstr === idstr && section.instanceId === instanceId,
  );
  return known?.early === true;
}

/**
 * The id of RAM's section: the base's, whose head may stay in front of the state; without a base the smallest that is free.
 */
function ramSectionId(sections: readonly SectionRecord[], base: StreamIndex | undefined): number {
  return base?.ram?.sectionId ?? freeId(new Set(sections.map(({ sectionId }) => sectionId)));
}

function freeId(taken: ReadonlySet<number>): number {
  let free = RAM_SECTION_ID;
  while (taken.has(free)) free += 1;
  return free;
}

/** Gives the section that has RAM's id another one: a section that is whole is known by its name. */
function renumbered(sections: readonly SectionRecord[], ramId: number): readonly StreamPatch[] {
  const taken = new Set([ramId, ...sections.map(({ sectionId }) => sectionId)]);
  const patches: StreamPatch[] = [];
  for (const { sectionId, offset, footerOffset } of sections) {
    if (sectionId !== ramId) continue;
    const id = freeId(taken);
    taken.add(id);
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, id);
    // The id stands behind the type of the section, and behind that of its footer.
    patches.push({ offset: offset + 1, bytes }, { offset: footerOffset + 1, bytes });
  }
  return patches;
}
