import type { BlockDiff } from '../../diff/block-diff.ts';
import type { SnapshotDiff } from '../../diff/diff.ts';
import { defineCommand, type Command } from '../command.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { BASE_OPTION, sourceOver, sourceWithBase } from '../options/base-option.ts';
import type { OptionDefs } from '../options/option-def.ts';
import { ramLocations, ramOption } from '../options/ram-option.ts';
import { TRANSFER_OPTIONS, transferOptions } from '../options/transfer-options.ts';
import { diffLines } from '../render/diff.ts';
import { withBar } from '../render/progress-bar.ts';

const args = {
  left: {
    type: 'positional',
    required: true,
    description: 'A snapshot: a path, or file:PATH[,offset=SIZE]',
  },
  right: { type: 'positional', required: false, description: 'Another snapshot' },
  ram: ramOption('In place of <right>: the memory of a block, in a file. Only these blocks are compared'),
  'ignore-device-state': {
    type: 'boolean',
    description: 'Compare RAM only; the end of a snapshot then need not be known',
  },
  ...BASE_OPTION,
  'right-base': {
    type: 'string',
    valueHint: 'file',
    description: 'The path of the base of <right>, when that is a delta (default: as for <left>)',
  },
  ...TRANSFER_OPTIONS,
} as const satisfies OptionDefs;

export const diff: Command = defineCommand({
  name: 'diff',
  description:
    'Compare two snapshots, or a snapshot and RAM. It says which pages changed, became zero or became data, and which device state differs, by the names of its fields; the exit status is 3 when anything differs.',
  args,
  examples: [
    'mapped-ram diff before.mr after.mr',
    'mapped-ram diff guest.mr --ram pc.ram=/dev/shm/guest.ram',
    'mapped-ram diff before.mr after.mr --json   # with all runs of pages',
  ],
  run: async (session) => {
    const { line, signal } = session;
    const [ram, uri] = [ramLocations(line), line.value('right')];
    const withRam = Object.keys(ram).length > 0;
    if (withRam === (uri !== undefined)) {
      throw new UsageError(
        'there is one thing to compare with: give a second snapshot, or --ram <block>=<path>',
      );
    }
    const rightBase = line.value('right-base');
    if (rightBase !== undefined && uri === undefined)
      throw new UsageError('--right-base is about a second snapshot: it goes with <right>');
    const ignoreDeviceState = line.flag('ignore-device-state');
    const api = await import('../../diff/diff.ts');
    const options = { ignoreDeviceState, ...transferOptions(line), signal };
    const other = uri === undefined ? { ram } : sourceOver(uri, rightBase);
    const result = await withBar(session, 'comparing', (onProgress) =>
      api.diff(sourceWithBase(line, line.value('left')), other, { ...options, onProgress }),
    );
    const exitCode = result.equal ? EXIT.done : EXIT.differences;
    await session.printLarge(jsonOf(result), (style) => diffLines(result, style), exitCode);
  },
});

/** Adds the runs of each block to the result; the runs are computed while they are printed. */
function jsonOf(result: SnapshotDiff): object {
  return { ...result, blocks: result.blocks.map(jsonOfBlock) };
}

function jsonOfBlock(block: BlockDiff): object {
  const { id, equal, leftLength, rightLength, pages, same, changed, becameZero, becameData } = block;
  const { onlyLeft, onlyRight } = block;
  const counts = { pages, same, changed, becameZero, becameData, onlyLeft, onlyRight };
  const runs = { [Symbol.iterator]: () => block.runs() };
  return { id, equal, leftLength, rightLength, ...counts, runs };
}
