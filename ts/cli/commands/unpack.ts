import type { UnpackResult } from '../../pack/unpack.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceWithBase } from '../options/base-option.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { ramLocations, ramOption } from '../options/ram-option.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { keyValues } from '../render/columns.ts';
import { formatDuration, formatSize, printable } from '../render/format.ts';
import { withBar } from '../render/progress-bar.ts';
import type { Style } from '../render/style.ts';
import { transferLines } from '../render/transfer.ts';

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'The snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  ram: ramOption("Where a block's memory goes: --ram pc.ram=/dev/shm/guest.ram"),
  state: {
    type: 'string',
    valueHint: 'file',
    description: 'Where the device state goes, with the memory of the blocks that no --ram names',
  },
  'ignore-device-state': {
    type: 'boolean',
    description: 'Without --state: take RAM that is whole, though the end of the file cannot be checked',
  },
  force: { type: 'boolean', description: 'Replace existing files' },
  ...BASE_OPTION,
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;

export const unpack: Command = defineCommand({
  name: 'unpack',
  description:
    'Take a snapshot apart. It gives RAM files, and a device-state file that QEMU loads on top of them; they appear when they are complete, not before.',
  args,
  examples: [
    'mapped-ram unpack guest.mr --ram pc.ram=/dev/shm/guest.ram --state guest.state',
    'mapped-ram info guest.mr   # lists the blocks',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const [ram, state] = [ramLocations(line), line.value('state')];
    if (Object.keys(ram).length === 0 && state === undefined) {
      throw new UsageError('nothing to unpack: give --ram <block>=<path>, --state <file>, or both');
    }
    const ignoreDeviceState = line.flag('ignore-device-state');
    if (ignoreDeviceState && state !== undefined) {
      throw new UsageError('--state asks for what --ignore-device-state leaves out: give only one of them');
    }
    const overwrite = line.flag('force');
    const options = { ram, state, ignoreDeviceState, overwrite, ...transferOptions(line), signal };
    const api = await import('../../pack/unpack.ts');
    const result = await withBar(session, 'unpacking', (onProgress) =>
      api.unpack(sourceWithBase(line, line.value('uri')), { ...options, onProgress }),
    );
    session.print(result, (style) => unpackLines(result, ram, state, style));
  },
});

function unpackLines(
  result: UnpackResult,
  ram: Readonly<Record<string, string>>,
  state: string | undefined,
  style: Style,
): readonly string[] {
  const { path, blocks, blocksInState, transfer, elapsedMs } = result;
  const carried = blocksInState.length > 0 ? `, with the memory of ${blocksInState.join(', ')}` : '';
  return keyValues(
    [
      ['unpacked', printable(path)],
      ...blocks.map(({ id, length }) => [id, `${printable(ram[id] ?? '')} (${formatSize(length)})`] as const),
      ...(state === undefined ? [] : [['state', printable(state) + carried] as const]),
      ...(transfer === undefined ? [] : transferLines(transfer, 'read')),
      ['total', formatDuration(elapsedMs)],
    ],
    style,
  );
}
