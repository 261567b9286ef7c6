import type { MigrationInfo } from '../qemu/migration-info.ts';
import type { TransferProgress } from '../engine/transfer-options.ts';
import { tellListener } from '../host/tell-listener.ts';
import type { LiveProgress } from './live/live-options.ts';
import type { SaveProgress } from './save-options.ts';

const PAGE = 4096;

type Counts = Pick<SaveProgress, 'bytesTotal' | 'bytesDone' | 'dataBytes' | 'zeroPages' | 'pages'>;

/** Reports the progress of a save to the caller, from the numbers of the writer. */
export class ProgressTeller {
  readonly #listener: ((progress: SaveProgress) => void) | undefined;
  readonly #startedAt = performance.now();
  #memoryFrom: number | undefined;
  #live: LiveProgress | undefined;
  #last: Counts = {
    bytesTotal: 0,
    bytesDone: 0,
    dataBytes: 0,
    pages: 0,
    zeroPages: 0,
  };

  constructor(listener: ((progress: SaveProgress) => void) | undefined) {
    this.#listener = listener;
  }

  /** Reports that a step begins. */
  step(step: SaveProgress['step']): void {
    if (step === 'memory') this.#memoryFrom = performance.now();
    this.#tell(step);
  }

  /** Reports QEMU's progress in writing the memory. @param live the state of a live save */
  fromQemu({ ram }: MigrationInfo, live?: LiveProgress): void {
    if (ram === undefined || ram.totalBytes === 0) return;
    this.#live = live;
    const { totalBytes, remainingBytes, normalPages, zeroPages } = ram;
    const pageSize = ram.pageSize === 0 ? PAGE : ram.pageSize;
    this.#advance({
      bytesTotal: totalBytes,
      bytesDone: Math.max(0, totalBytes - remainingBytes),
      dataBytes: normalPages * pageSize,
      pages: normalPages + zeroPages,
      zeroPages,
    });
  }

  /** Reports the engine's progress in writing the memory. */
  fromEngine({ bytesTotal, bytesDone, dataBytes }: TransferProgress): void {
    const zeroPages = Math.floor((bytesDone - dataBytes) / PAGE);
    this.#advance({ bytesTotal, bytesDone, dataBytes, pages: Math.floor(bytesDone / PAGE), zeroPages });
  }

  #advance(now: Counts): void {
    this.#last = now;
    this.#tell('memory');
  }

  #tell(step: SaveProgress['step']): void {
    const { bytesTotal, bytesDone } = this.#last;
    const now = performance.now();
    const seconds = this.#memoryFrom === undefined ? 0 : (now - this.#memoryFrom) / 1000;
    const bytesPerSecond = seconds > 0 ? Math.round(bytesDone / seconds) : 0;
    tellListener(this.#listener, () => ({
      step,
      ...this.#last,
      bytesPerSecond,
      live: this.#live,
      remainingMs:
        bytesPerSecond > 0 ? Math.round(((bytesTotal - bytesDone) / bytesPerSecond) * 1000) : undefined,
      elapsedMs: now - this.#startedAt,
    }));
  }
}
