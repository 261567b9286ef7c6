import type { DemoStep } from '../../demo/demo-options.ts';
import { formatDuration } from './format.ts';
import type { Session } from '../session.ts';

const WIDTH = 46;

/** A line on stderr for each step that is done; on a terminal also for the one that runs. */
export class StepLines implements Disposable {
  readonly #session: Session;
  #pending = false;

  constructor(session: Session) {
    this.#session = session;
  }

  readonly update = ({ title, elapsedMs }: DemoStep): void => {
    this.#erase();
    if (elapsedMs === undefined) {
      this.#pending = this.#session.transient(`  … ${title}`);
    } else {
      const time = formatDuration(elapsedMs).padStart(8);
      this.#session.note((style) => `  ${style('green', '✓')} ${title.padEnd(WIDTH)}${style('dim', time)}`);
    }
  };

  [Symbol.dispose](): void {
    this.#erase();
  }

  #erase(): void {
    if (this.#pending) this.#session.transient('');
    this.#pending = false;
  }
}
