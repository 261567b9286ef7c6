import type { Decision, SavePlan } from '../../negotiate/plan.ts';
import type { LoadPlan } from '../../restore/examine.ts';
import { formatMigrationUri } from '../../uri/format-migration-uri.ts';
import type { MigrationAddress } from '../../uri/migration-address.ts';
import { keyValues } from './columns.ts';
import { formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

/** Makes the object for a plan in --json: it leaves out QEMU's own facts. */
export function planReport(plan: SavePlan | LoadPlan): object {
  const { qemu, target, capture: _, ...decisions } = { capture: undefined, ...plan };
  const { major, minor, micro } = qemu.version;
  const report = {
    ...decisions,
    target: target.address,
    qemu: { version: `${major}.${minor}.${micro}`, runState: qemu.runState },
  };
  if (plan.direction === 'restore') return report;
  return {
    ...report,
    engineBlocks: plan.engineBlocks.map(({ id, length, file: { path, offset } }) => ({
      id,
      length,
      path,
      offset,
    })),
  };
}

/** Shows the steps that a save would take, and the reasons. */
export function planLines(plan: SavePlan, style: Style): readonly string[] {
  const { target, writer, stateOnly, base, form, format, qemu, engineBlocks, notes } = plan;
  const { mappedRam, multifd, channels, directIo, zeroPageDetection, xIgnoreShared, fdset, live } = plan;
  const { major, minor, micro } = qemu.version;
  return [
    ...keyValues(
      [
        ['QEMU', `${major}.${minor}.${micro}, the guest is ${printable(qemu.runState)}`],
        ['target', printable(`${nameOf(target.address)}, as a ${format} file`)],
        row('writer', writer, String),
        ...engineBlocks.map(({ id, length, file }): readonly [string, string] => [
          '',
          printable(`${id}: ${formatSize(length)} in ${file.path}`),
        ]),
        // Where QEMU writes, the writer's reason says so, too.
        ...(writer.value === 'engine' ? [row('memory', stateOnly, placeOfMemory)] : []),
        ...(base.value === undefined
          ? []
          : [row('base', { ...base, value: base.value }, String), row('form', form, String)]),
        row('mapped-ram', mappedRam, onOff),
        row('multifd', multifd, onOff),
        row('channels', channels, (count) => String(count ?? 'auto')),
        row('direct I/O', directIo, onOff),
        row('zero pages', zeroPageDetection, String),
        row('x-ignore-shared', xIgnoreShared, onOff),
        row('fdset', fdset, onOff),
        row('live', live, onOff),
      ],
      style,
    ),
    ...notes.map(({ effect, words }) => {
      const label = effect === 'warn' ? 'warning:' : 'put aside for the save:';
      return `${style('yellow', label)} ${printable(words)}`;
    }),
  ];
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

function placeOfMemory(stateOnly: boolean): string {
  return stateOnly ? "out of QEMU's process" : 'out of shared files';
}

function nameOf(address: MigrationAddress): string {
  return address.transport === 'file' && address.offset === 0
    ? address.filename
    : formatMigrationUri(address);
}

function row<T>(
  name: string,
  { value, why }: Decision<T>,
  show: (value: T) => string,
): readonly [string, string] {
  return [name, printable(`${show(value)} — ${why}`)];
}
