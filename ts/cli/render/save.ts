import type { SaveResult } from '../../save/save-options.ts';
import { keyValues } from './columns.ts';
import { formatCount, formatDuration, formatOffset, formatRate, formatSize, printable } from './format.ts';
import { planReport } from './plan.ts';
import type { Style } from './style.ts';
import { transferLines } from './transfer.ts';

type Line = readonly [label: string, text: string];

/** Makes the object for the result of a save in --json. */
export function saveReport(result: SaveResult): object {
  return { ...result, plan: planReport(result.plan) };
}

/** Shows the result of a save to people. */
export function saveLines(result: SaveResult, style: Style): readonly string[] {
  const { writer, writerWhy, blocks, seal, runState, pauseMs, elapsedMs, warnings, verified } = result;
  return [
    ...keyValues(
      [
        ['saved', printable(placeOf(result))],
        ['blocks', printable(blocks.map(({ id, length }) => `${id} (${formatSize(length)})`).join(', '))],
        ['writer', printable(`${writer} — ${writerWhy}`)],
        ...captureLines(result),
        ...(writer === 'qemu' ? qemuLines(result) : engineLines(result)),
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

function captureLines({ capture }: SaveResult): readonly Line[] {
  if (capture === undefined) return [];
  const { form, formWhy, base, changedBytes, bytesInPause, copyBytes } = capture;
  const copy = `out of a copy (room for ${formatSize(copyBytes)})`;
  const early = `${formatSize(bytesInPause)} of the memory written in the pause`;
  const when =
    copyBytes === 0
      ? `${early}: no copy was taken`
      : bytesInPause === 0
        ? `written after the pause, ${copy}`
        : `${early}, the rest after it, ${copy}`;
  const pages = `${formatSize(changedBytes)}; ${when}`;
  if (base === undefined) return [['in use', pages]];
  return [
    ['base', printable(base)],
    ['form', printable(`${form} — ${formWhy}`)],
    ['changed', pages],
  ];
}

/** The engine reads some pages of a guest that is taken out of QEMU's process, and leaves the others as they are. */
function engineLines({ transfer, capture, blocks }: SaveResult): readonly Line[] {
  if (transfer === undefined) return [];
  if (capture === undefined) return transferLines(transfer, 'written');
  const [, ...lines] = transferLines({ ...transfer, bytes: transfer.dataBytes }, 'written');
  return [['memory', formatSize(blocks.reduce((sum, { length }) => sum + length, 0))], ...lines];
}

function liveLines({ live }: SaveResult): readonly Line[] {
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

function qemuLines({ migration, plan }: SaveResult): readonly Line[] {
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
