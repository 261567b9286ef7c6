import { once } from 'node:events';

import type { CommandLine } from './options/command-line.ts';
import { EXIT } from './exit-codes.ts';
import { Interruption } from './interrupted.ts';
import { toJson } from './render/json.ts';
import { ProgressBar } from './render/progress-bar.ts';
import { styleFor, type Style } from './render/style.ts';

/** One run of a command: its arguments, and its ways to talk. */
export class Session implements Disposable {
  readonly line: CommandLine;
  readonly #json: boolean;
  readonly #quiet: boolean;
  #interruption: Interruption | undefined;

  constructor(line: CommandLine) {
    this.line = line;
    this.#json = line.flag('json');
    this.#quiet = line.flag('quiet');
  }

  /**
   * Aborted by SIGINT, SIGTERM and SIGHUP. Asking for it is promising to clean up: a command that does not ask is killed
   * by these signals as any process is.
   */
  get signal(): AbortSignal {
    this.#interruption ??= new Interruption();
    return this.#interruption.signal;
  }

  /** Why the command was told to stop, if it was. */
  get interrupted(): unknown {
    return this.#interruption?.signal.aborted === true ? this.#interruption.signal.reason : undefined;
  }

  progressBar(label: string): ProgressBar {
    return new ProgressBar(label, this.#lively);
  }

  /** Text on the terminal's current line, in place of what is there; on anything but a terminal, nothing. */
  transient(text: string): boolean {
    return this.#lively?.write(`\r${text}\u001B[K`) !== undefined;
  }

  /** Where a line may be written anew. */
  get #lively(): NodeJS.WriteStream | undefined {
    const { stderr } = process;
    return stderr.isTTY && !this.#quiet && process.env['TERM'] !== 'dumb' ? stderr : undefined;
  }

  /** A line beside the result, on stderr. */
  note(render: (style: Style) => string): void {
    if (!this.#quiet) process.stderr.write(`${render(styleFor(process.stderr))}\n`);
  }

  /** The result: one object with --json, else lines for people. */
  print(result: object, render: (style: Style) => readonly string[], exitCode: number = EXIT.done): void {
    process.exitCode = exitCode;
    if (this.#json) process.stdout.write(`${toJson(result)}\n`);
    else if (!this.#quiet) process.stdout.write(`${render(styleFor(process.stdout)).join('\n')}\n`);
  }

  /** As `print`, for what may be too large for one string: what can be iterated over in it is an array in JSON. */
  async printLarge(
    result: object,
    render: (style: Style) => readonly string[],
    exitCode: number,
  ): Promise<void> {
    if (!this.#json) {
      this.print(result, render, exitCode);
      return;
    }
    process.exitCode = exitCode;
    const { jsonPieces } = await import('./render/json-pieces.ts');
    const { stdout } = process;
    for (const piece of jsonPieces(result)) {
      // Whoever read it may be gone; `main` hears of that, too.
      if (stdout.destroyed) return;
      if (!stdout.write(piece)) await once(stdout, 'drain').catch(() => undefined);
    }
    stdout.write('\n');
  }

  [Symbol.dispose](): void {
    this.#interruption?.[Symbol.dispose]();
  }
}
