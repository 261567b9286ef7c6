import type { PackOptions, PackResult } from '../../pack/pack-options.ts';
import { givesOffset } from '../../uri/parse-migration-uri.ts';
import { defineCommand, type Command } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { parsePlace } from '../../snapshot/snapshot-source.ts';
import type { SnapshotTarget } from '../../snapshot/snapshot-target.ts';
import { keyValues } from '../render/columns.ts';
import {
  TRANSFER_OPTIONS,
  transferOptions,
  STORE_ZERO_PAGES,
  storeZeroPages,
} from '../options/transfer-options.ts';
import { formatDuration, formatOffset, formatSize, printable } from '../render/format.ts';
import { parseSize } from '../options/parse-size.ts';
import { ramLocations, ramOption } from '../options/ram-option.ts';
import { SEAL_OPTIONS, sealOptions } from '../options/seal-options.ts';
import { withBar } from '../render/progress-bar.ts';
import type { Style } from '../render/style.ts';
import { transferLines } from '../render/transfer.ts';
import type { Session } from '../session.ts';

const args = {
  uri: {
    type: 'positional',
    required: true,
    description: 'Where the snapshot goes: a path, or file:PATH[,offset=SIZE]',
  },
  state: {
    type: 'string',
    required: true,
    valueHint: 'file',
    description:
      'The device state that QEMU wrote as a plain file: migration (with x-ignore-shared on, shared RAM is not in it)',
  },
  ram: ramOption("Where a block's memory is: --ram pc.ram=/dev/shm/guest.ram"),
  offset: {
    type: 'string',
    valueHint: 'S',
    description: 'Where in the file the snapshot starts; what lies before is kept',
  },
  force: { type: 'boolean', description: 'Replace an existing file' },
  'store-zero-pages': STORE_ZERO_PAGES,
  ...SEAL_OPTIONS,
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;
type Line = Session<typeof args>['line'];

export const pack: Command = defineCommand({
  name: 'pack',
  description:
    'Make a snapshot of a stopped guest. It takes the RAM files and a device-state file that QEMU wrote; the snapshot appears under its name when it is complete and on the disk, not before.',
  args,
  examples: [
    'mapped-ram pack guest.mr --state guest.state --ram pc.ram=/dev/shm/guest.ram',
    'mapped-ram pack guest.mr --state guest.state --ram m0=a.ram --ram m1=b.ram',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const target = targetOf(line);
    const options: PackOptions = {
      state: line.value('state'),
      ram: ramLocations(line),
      overwrite: line.flag('force'),
      storeZeroPages: storeZeroPages(line),
      ...sealOptions(line),
      ...transferOptions(line),
      signal,
    };
    const api = await import('../../pack/pack.ts');
    const result = await withBar(session, 'packing', (onProgress) =>
      api.pack(target, { ...options, onProgress }),
    );
    session.print(result, (style) => packLines(result, style));
  },
});

/** @throws {UsageError} when both the URI and --offset give an offset */
function targetOf(line: Line): SnapshotTarget {
  const uri = line.value('uri');
  const offset = line.value('offset');
  if (offset === undefined) return uri;
  const { path } = parsePlace(uri);
  if (givesOffset(uri)) {
    throw new UsageError('--offset and ,offset= in the URI say the same thing: give only one of them');
  }
  return { path, offset: parseSize('--offset', offset) };
}

function packLines(result: PackResult, style: Style): readonly string[] {
  const { path, offset, size, blocks, transfer, seal, elapsedMs } = result;
  const at = offset > 0 ? ` at ${formatOffset(offset)}` : '';
  return keyValues(
    [
      ['packed', `${printable(path)}${at}, apparent size ${formatSize(size)}`],
      ['blocks', blocks.map(({ id, length }) => `${id} (${formatSize(length)})`).join(', ')],
      ...transferLines(transfer, 'written'),
      ...(seal === undefined ? [] : [['seal', printable(seal)] as const]),
      ['total', `${formatDuration(elapsedMs)}, with device state and fsync`],
    ],
    style,
  );
}
