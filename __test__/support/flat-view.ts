import type { PhysicalRange } from '../../ts/index.ts';
import type { QmpClient } from '../../ts/qmp/client.ts';

/** A range of guest-physical addresses that QEMU has mapped. All numbers are bytes. */
export interface Mapped {
  readonly address: number;
  readonly length: number;
  /** The name of the memory region; a block's name may have a device in front of it. */
  readonly name: string;
  readonly offset: number;
  readonly isFlash: boolean;
}

/** The ranges that QEMU has mapped, by `info mtree -f`. Ranges that continue each other in one region are one. */
export async function mappedByQemu(qmp: QmpClient): Promise<readonly Mapped[]> {
  const text = await qmp.execute('human-monitor-command', { 'command-line': 'info mtree -f' });
  const view = text.split(/FlatView #\d+/).find((part) => part.includes(' AS "memory"')) ?? '';
  const line =
    /^ {2}([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (ram|rom|romd)\): (\S+)(?: @([0-9a-f]+))?\r?$/gm;
  const ranges: Mapped[] = [];
  for (const [, start = '', end = '', kind, region = '', at = '0'] of view.matchAll(line)) {
    const name = region.replace('/objects/', '');
    const address = Number.parseInt(start, 16);
    const length = Number.parseInt(end, 16) + 1 - address;
    const range = {
      address,
      length,
      name,
      offset: Number.parseInt(at, 16),
      isFlash: kind === 'romd' || name.startsWith('system.flash'),
    };
    const last = ranges.at(-1);
    const goesOn =
      last?.name === name &&
      last.address + last.length === address &&
      last.offset + last.length === range.offset;
    if (goesOn) ranges[ranges.length - 1] = { ...last, length: last.length + length };
    else ranges.push(range);
  }
  return ranges;
}

export function asMapped({ address, length, block, offset, kind }: PhysicalRange): Mapped {
  const name = block.slice(block.lastIndexOf('/') + 1);
  return { address, length, name, offset, isFlash: kind === 'flash' };
}
