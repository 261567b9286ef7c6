import type { BenchProgress } from '../../bench/bench-options.ts';
import type { Session } from '../session.ts';
import { formatDuration } from './format.ts';

const TITLE_WIDTH = 46;

/** Lines on stderr: one for each finished part of a bench, and on a terminal also one for the turn under way. */
export class BenchProgressLines implements Disposable {
  readonly #session: Session;
  readonly #rounds: number;
  #title: string | undefined;
  #startedAt = 0;
  #pending = false;

  /** @param rounds the number of rounds that count */
  constructor(session: Session, rounds: number) {
    this.#session = session;
    this.#rounds = rounds;
  }

  readonly update = (progress: BenchProgress): void => {
    this.#erase();
    if (progress.title !== this.#title) {
      this.#finish();
      this.#title = progress.title;
      this.#startedAt = performance.now();
    }
    this.#pending = this.#rewrite(`  … ${progress.title}${turnText(progress, this.#rounds)}`);
  };

  /** Call when the bench has come to its end. */
  done(): void {
    this.#erase();
    this.#finish();
  }

  [Symbol.dispose](): void {
    this.#erase();
  }

  #finish(): void {
    if (this.#title === undefined) return;
    const title = this.#title.padEnd(TITLE_WIDTH);
    const time = formatDuration(performance.now() - this.#startedAt).padStart(8);
    this.#session.note((style) => `  ${style('green', '✓')} ${title}${style('dim', time)}`);
    this.#title = undefined;
  }

  #erase(): void {
    if (this.#pending) this.#rewrite('');
    this.#pending = false;
  }

  /** Replaces the terminal's current line by a text. Returns false without a terminal. */
  #rewrite(text: string): boolean {
    const { terminal } = this.#session;
    return terminal?.write(`\r${text.slice(0, (terminal.columns || 80) - 1)}\u001B[K`) !== undefined;
  }
}

function turnText({ round, contender, milliseconds }: BenchProgress, rounds: number): string {
  if (contender === undefined) return '';
  const time = milliseconds === undefined ? '' : `: ${formatDuration(milliseconds)}`;
  return ` · ${roundText(round, rounds)} · ${contender}${time}`;
}

function roundText(round: BenchProgress['round'], rounds: number): string {
  if (round === 0) return 'warming up';
  return `round ${round}/${rounds}`;
}
