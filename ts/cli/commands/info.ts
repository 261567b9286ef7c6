import { MappedRamError } from '../../errors.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { DeviceStates } from '../../stream/devices/device-state.ts';
import { defineCommand, type Command } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import { closest } from '../options/command-line.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { printable } from '../render/format.ts';
import { infoLines } from '../render/info.ts';
import type { Style } from '../render/style.ts';
import type { Session } from '../session.ts';

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  devices: { type: 'boolean', description: 'List the devices whose state the snapshot holds' },
  device: {
    type: 'string',
    valueHint: 'name',
    description: 'Show every field of a device: cpu, cpu/0, virtio-net or 0000:00:02.0/virtio-net',
  },
  cpus: { type: 'boolean', description: "Show the registers of an x86 guest's CPUs" },
  ...BASE_OPTION,
} as const satisfies OptionDefs;
type InfoSession = Session<typeof args>;

export const info: Command = defineCommand({
  name: 'info',
  description:
    'Show what a snapshot holds. It lists the machine, the RAM blocks and the device state, and says whether the snapshot is complete; it reads headers and bitmaps, no pages.',
  args,
  examples: [
    'mapped-ram info guest.mr',
    'mapped-ram info guest.mr --devices',
    'mapped-ram info guest.mr --device virtio-net',
    'mapped-ram info guest.mr --cpus',
    'mapped-ram info file:container,offset=64K',
    'mapped-ram info guest.mr --json',
  ],
  run: async (session) => {
    const show = viewOf(session.line);
    const { Snapshot } = await import('../../snapshot/snapshot.ts');
    await using snapshot = await Snapshot.open(sourceWithBase(session.line, session.line.value('uri')));
    await show(session, snapshot);
  },
});

type View = (session: InfoSession, snapshot: Snapshot) => Promise<void>;

/** @throws {UsageError} when the options ask for more than one view */
function viewOf(line: InfoSession['line']): View {
  const asked = (['devices', 'device', 'cpus'] as const).filter((name) => line.flag(name));
  if (asked.length > 1) throw new UsageError(`--${asked[0]} and --${asked[1]} exclude each other`);
  const device = line.value('device');
  if (device !== undefined) return (session, snapshot) => showDevice(session, snapshot, device);
  if (asked[0] === 'devices') return showDevices;
  return asked[0] === 'cpus' ? showCpus : showSummary;
}

async function showSummary(session: InfoSession, snapshot: Snapshot): Promise<void> {
  const result = await snapshot.info();
  session.print(result, (style) => infoLines(result, style), result.complete ? EXIT.done : EXIT.corrupt);
}

async function showDevices(session: InfoSession, snapshot: Snapshot): Promise<void> {
  const { deviceTable } = await import('../render/devices/table.ts');
  const states = await snapshot.devices();
  session.print({ path: snapshot.path, ...states }, (style) => deviceTable(states, style), exitCode(states));
}

async function showDevice(session: InfoSession, snapshot: Snapshot, name: string): Promise<void> {
  const { deviceTrees } = await import('../render/devices/trees.ts');
  const states = await snapshot.devices(name);
  const isThere = states.devices.length + states.undescribed.length > 0;
  if (!isThere && states.problems.length === 0) {
    const { path } = snapshot;
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', nothingCalled(name, snapshot), { path });
  }
  const lines = (style: Style): readonly string[] => [
    // The device may be in the part that cannot be read.
    ...(isThere ? [] : [printable(nothingCalled(name, snapshot, ' in what can be read'))]),
    ...deviceTrees(states, style),
  ];
  session.print({ path: snapshot.path, ...states }, lines, exitCode(states));
}

function nothingCalled(name: string, { index }: Snapshot, where = ''): string {
  const known = index.sections.map(({ idstr }) => idstr.slice(idstr.lastIndexOf('/') + 1));
  const guess = closest(name, known);
  return `there is no device '${name}'${where}${guess === undefined ? '' : `; did you mean ${guess}?`}`;
}

function exitCode({ problems }: DeviceStates): number {
  return problems.length === 0 ? EXIT.done : EXIT.corrupt;
}

async function showCpus(session: InfoSession, snapshot: Snapshot): Promise<void> {
  const { cpuLines } = await import('../render/devices/cpus.ts');
  const cpus = await snapshot.cpus();
  session.print({ path: snapshot.path, cpus }, (style) => cpuLines(cpus, style));
}
