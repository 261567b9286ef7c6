import type { TransferReport } from '../../engine/transfer-options.ts';
import { formatDuration, formatRate, formatSize } from './format.ts';

/** Returns the `key  value` pairs about the moving of pages. */
export function transferLines(
  report: TransferReport,
  verb: 'written' | 'read',
): readonly (readonly [string, string])[] {
  const { bytes, dataBytes, elapsedMs, channels, queueDepth, requestSize } = report;
  const zero = bytes === dataBytes ? '' : `, the other ${formatSize(bytes - dataBytes)} are zero pages`;
  return [
    ['memory', formatSize(bytes)],
    [
      verb,
      `${formatSize(dataBytes)} in ${formatDuration(elapsedMs)}, ${formatRate(dataBytes, elapsedMs)}${zero}`,
    ],
    ['I/O engine', `${report.ioEngine} (${report.ioEngineWhy})`],
    ['direct I/O', `${report.directIo ? 'on' : 'off'} (${report.directIoWhy})`],
    [
      'channels',
      `${channels}, ${channels === 1 ? '' : 'each '}with ${queueDepth} requests of up to ${formatSize(requestSize)} in flight`,
    ],
  ];
}
