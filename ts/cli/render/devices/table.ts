import type { MappedRamError } from '../../../errors.ts';
import type { DeviceState, DeviceStates } from '../../../stream/devices/device-state.ts';
import { table, type Column } from '../columns.ts';
import { formatCount, formatOffset, printable } from '../format.ts';
import type { Style } from '../style.ts';

const COLUMNS: readonly Column[] = [
  { title: 'device' },
  { title: 'instance', align: 'right' },
  { title: 'version', align: 'right' },
  { title: 'described as' },
  { title: 'at', align: 'right' },
  { title: 'bytes', align: 'right' },
  { title: '' },
];

/** Makes a table with a line for each device. */
export function deviceTable(
  { devices, undescribed, problems }: DeviceStates,
  style: Style,
): readonly string[] {
  const rows = [
    ...devices.map((device) => row(device, device.vmsdName, noteOf(device))),
    ...undescribed.map((section) => row(section, '', 'not described')),
  ];
  const lines = rows.length > 0 ? table(COLUMNS, rows, style) : ['no device'];
  return [...lines, ...problemLines(problems, style)];
}

interface Listed {
  readonly name: string;
  readonly instanceId: number;
  readonly version: number;
  readonly offset: number;
  readonly size: number | undefined;
}

function row(
  { name, instanceId, version, offset, size }: Listed,
  as: string,
  note: string,
): readonly string[] {
  const bytes = size === undefined ? 'unknown' : formatCount(size);
  return [name, String(instanceId), String(version), as, formatOffset(offset), bytes, note];
}

function noteOf({ early, problem }: DeviceState): string {
  if (problem !== undefined) return 'does not fit';
  return early ? 'restored before the memory' : '';
}

/** Lists the state that cannot be read, a line for each problem. */
export function problemLines(problems: readonly MappedRamError[], style: Style): readonly string[] {
  return problems.map(({ message }) => `${style('red', 'problem')}: ${printable(message)}`);
}
