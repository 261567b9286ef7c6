import prettyBytes from 'pretty-bytes';

import type { TransferProgress } from '../../engine/transfer-options.ts';
import type { LiveProgress } from '../../save/live/live-options.ts';
import type { Session } from '../session.ts';
import { formatRate, formatSize } from './format.ts';

const PATIENCE_MS = 500;
const BAR_WIDTH = 24;
const ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
/** The number of updates that the rate is computed from: disks have caches, and are slower in the long run. */
const WINDOW = 12;

/** Progress of any work; a live save writes again what the guest changes, pass by pass. */
type Progress = TransferProgress & { readonly live?: LiveProgress | undefined };

/** Shows the progress of `work` on a terminal. The bar is gone when the promise settles. */
export async function withBar<T>(
  session: Session,
  label: string,
  work: (onProgress: (progress: Progress) => void) => Promise<T>,
): Promise<T> {
  using bar = new ProgressBar(label, session.terminal);
  return await work(bar.update);
}

/** One line on a terminal that is rewritten as the work goes on. Work that takes less than half a second shows none. */
export class ProgressBar implements Disposable {
  readonly #label: string;
  readonly #stream: NodeJS.WriteStream | undefined;
  #recent: readonly Moment[] = [{ bytesDone: 0, elapsedMs: 0 }];
  #shown = false;

  /** @param stream the terminal; undefined for no bar */
  constructor(label: string, stream: NodeJS.WriteStream | undefined) {
    this.#label = label;
    this.#stream = stream;
  }

  readonly update = (progress: Progress): void => {
    const [earlier] = this.#recent;
    this.#recent = [...this.#recent, progress].slice(-WINDOW);
    const { bytesDone, bytesTotal } = progress;
    // A save does not know at first how much memory there is.
    if (this.#stream === undefined || bytesTotal === 0 || progress.elapsedMs < PATIENCE_MS) return;
    const filled = Math.floor((BAR_WIDTH * bytesDone) / Math.max(bytesTotal, 1));
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
    const text = `${this.#label} ${bar} ${progressText(progress, earlier)}`;
    this.#stream.write(`\r${text.slice(0, (this.#stream.columns || 80) - 1)}\u001B[K`);
    this.#shown = true;
  };

  /** Removes the line. */
  [Symbol.dispose](): void {
    if (this.#shown) this.#stream?.write('\r\u001B[K');
    this.#shown = false;
  }
}

type Moment = Pick<TransferProgress, 'bytesDone' | 'elapsedMs'>;

/**
 * Formats progress: `1.2/4.0 GiB · 1.9 GB/s · ETA 2 s`, at the rate since `earlier`; or, behind the first pass of a live
 * save, `pass 3 · 12 MiB left · 2560 pages/s changed`.
 */
export function progressText(
  { bytesDone, bytesTotal, elapsedMs, live }: Progress,
  earlier: Moment = { bytesDone: 0, elapsedMs: 0 },
): string {
  if (live !== undefined && live.pass > 1) return passText(live);
  if (bytesDone >= bytesTotal) return `${formatSize(bytesTotal)} · finishing`;
  const total = prettyBytes(bytesTotal, { binary: true, ...ONE_DIGIT });
  const unit = bytesTotal / Number.parseFloat(total);
  const [bytes, ms] = [bytesDone - earlier.bytesDone, elapsedMs - earlier.elapsedMs];
  const eta = bytes === 0 ? '' : ` · ETA ${roughly(((bytesTotal - bytesDone) * ms) / bytes / 1000)}`;
  return `${(bytesDone / unit).toFixed(1)}/${total} · ${formatRate(bytes, ms)}${eta}`;
}

function passText({ pass, remainingBytes, dirtyPagesPerSecond }: LiveProgress): string {
  const rate = dirtyPagesPerSecond === undefined ? '' : ` · ${dirtyPagesPerSecond} pages/s changed`;
  const left = remainingBytes === undefined ? '' : ` · ${formatSize(remainingBytes)} left`;
  return `pass ${pass}${left}${rate}`;
}

function roughly(seconds: number): string {
  if (seconds <= 99) return `${Math.ceil(seconds)} s`;
  return seconds <= 99 * 60 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}
