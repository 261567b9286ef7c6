import { MappedRamError } from '../../errors.ts';
import { isCarriedCommand } from '../command.ts';
import type { ByteRange } from '../reader.ts';
import type { CommandRecord } from '../records.ts';
import type { StreamIndex } from '../stream-index.ts';

/**
 * The device state of a stream: the stretches to carry verbatim, in file order, when its RAM is written anew. Touching
 * records are one stretch. The new RAM section must keep the old one's section id (`index.ram.sectionId`): QEMU tells
 * sections by their ids, and another id could be that of a carried section.
 */
export interface StateSections {
  /** Stretches before RAM START. QEMU writes only commands there. */
  readonly before: readonly ByteRange[];
  /**
   * Stretches behind RAM START, before RAM's next section: sections of devices that are marked early (docs/format.md
   * §1.4).
   */
  readonly early: readonly ByteRange[];
  /** Stretches behind RAM's first PART, before its END: the command SWITCHOVER_START (docs/format.md §1.3). */
  readonly switchover: readonly ByteRange[];
  /** Stretches behind RAM's last section, up to EOF. */
  readonly devices: readonly ByteRange[];
  /** The byte that ends the section loop. */
  readonly eof: ByteRange;
  /** The record with its type byte and length. */
  readonly vmdescription: ByteRange | undefined;
}

/**
 * Finds the device state of a stream.
 * @throws {MappedRamError} the index's problem when the stream is not complete; ERR_MAPPED_RAM_CORRUPT when it has no
 *   RAM; ERR_MAPPED_RAM_UNSUPPORTED for commands of postcopy
 */
export function stateSections(index: StreamIndex): StateSections {
  const { ram, eofOffset, vmdescription } = index;
  if (index.problem !== undefined) throw index.problem;
  if (ram === undefined || eofOffset === undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the stream has no RAM section', {
      offset: index.base,
    });
  }
  const [, next] = ram.sections;
  const last = ram.sections.at(-1);
  const memoryFrom = next?.offset ?? ram.offset;
  const memoryTo = last?.offset ?? ram.offset;
  const before: ByteRange[] = [];
  const early: ByteRange[] = [];
  const switchover: ByteRange[] = [];
  const devices: ByteRange[] = [];
  const commands = index.commands.filter(({ code, offset }) => isCarriedCommand(code, offset));
  for (const record of inFileOrder([...commands, ...index.sections])) {
    const { offset } = record;
    if (offset < ram.offset) append(before, record);
    else if (offset < memoryFrom) append(early, record);
    else if (offset < memoryTo) append(switchover, record);
    else append(devices, record);
  }
  return {
    before,
    early,
    switchover,
    devices,
    eof: { offset: eofOffset, length: 1 },
    vmdescription:
      vmdescription === undefined
        ? undefined
        : { offset: vmdescription.offset, length: vmdescription.length },
  };
}

/**
 * Commands before RAM START that go in front of the new one.
 * @throws {MappedRamError} as `isCarriedCommand`
 */
export function commandsBeforeRam({
  ram,
  commands,
}: Pick<StreamIndex, 'ram' | 'commands'>): readonly CommandRecord[] {
  const before = commands.filter(({ offset }) => ram !== undefined && offset < ram.offset);
  return before.filter(({ code, offset }) => isCarriedCommand(code, offset));
}

function inFileOrder(records: readonly ByteRange[]): readonly ByteRange[] {
  return records.toSorted((left, right) => left.offset - right.offset);
}

function append(ranges: ByteRange[], { offset, length }: ByteRange): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.offset + last.length === offset) {
    ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length };
  } else {
    ranges.push({ offset, length });
  }
}
