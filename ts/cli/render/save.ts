import type { SaveResult } from '../../save/save-options.ts';
import { keyValues } from './columns.ts';
import { formatCount, formatDuration, formatOffset, formatRate, formatSize, printable } from './format.ts';
import { planReport } from './plan.ts';
import type { Style } from './style.ts';
import { transferLines } from './transfer.ts';

/** Makes the object for the result of a save in --json. */
export function saveReport(result: SaveResult): object {
  return { ...result, plan: planReport(result.plan) };
}

/** Shows the result of a save to people. */
export function saveLines(result: SaveResult, style: Style): readonly string[] {
  const { writer, writerWhy, blocks, transfer, seal, runState, pauseMs, elapsedMs, warnings, verified } =
    result;
  return [
    ...keyValues(
      [
        ['saved', printable(placeOf(result))],
        ['blocks', printable(blocks.map(({ id, length }) => `${id} (${formatSize(length)})`).join(', '))],
        ['writer', printable(`${writer} — ${writerWhy}`)],
        ...(transfer === undefined ? qemuLines(result) : transferLines(transfer, 'written')),
        ['checked', verified ? 'complete, and on the disk' : "no: QEMU's word is all there is"],
        ...(seal === undefined ? [] : [['seal', printable(seal)] as const]),
        [
          'guest',
          `${runState ?? 'gone with QEMU'}${pauseMs === undefined ? '' : `, stood still for ${pauseMs < 1000 ? `${pauseMs.toFixed(0)} ms` : formatDuration(pauseMs)}`}`,
        ],
        ...liveLines(result),
        ['total', formatDuration(elapsedMs)],
      ],
      style,
    ),
    ...warnings.map((warning) => `${style('yellow', 'warning:')} ${printable(warning)}`),
  ];
}

function liveLines({ live }: SaveResult): readonly (readonly [string, string])[] {
  if (live === undefined) return [];
  const { passes, dirtyPagesPerSecond, converged } = live;
  const rate =
    dirtyPagesPerSecond === undefined
      ? ''
      : `; ${formatCount(dirtyPagesPerSecond)} pages changed in a second`;
  const how = converged ? '' : '; the save stopped the guest, because the passes did not end';
  return [['live', `${formatCount(passes)} passes${rate}${how}`]];
}

function placeOf({ path, offset, size, format, plan }: SaveResult): string {
  if (path === undefined) return `a ${format} to ${JSON.stringify(plan.target.address)}`;
  const at = offset > 0 ? ` at ${formatOffset(offset)}` : '';
  return `${path}${at}${size === undefined ? '' : `, apparent size ${formatSize(size)}`}`;
}

function qemuLines({ migration, plan }: SaveResult): readonly (readonly [string, string])[] {
  const { ram, totalTimeMs } = migration ?? {};
  if (ram === undefined || totalTimeMs === undefined) return [];
  const bytes = ram.normalPages * ram.pageSize;
  const { channels, directIo } = plan;
  return [
    ['memory', formatSize(ram.totalBytes)],
    [
      'written',
      `${formatSize(bytes)} in ${formatDuration(totalTimeMs)}, ${formatRate(bytes, totalTimeMs)}; ${formatCount(ram.zeroPages)} pages are zero`,
    ],
    ['direct I/O', `${directIo.value ? 'on' : 'off'} (${printable(directIo.why)})`],
    ['channels', `${channels.value ?? 1} (${printable(channels.why)})`],
  ];
}
