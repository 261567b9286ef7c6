import { once } from 'node:events';

import { EXIT } from './exit-codes.ts';
import { Interruption } from './interrupted.ts';
import type { CommandLine } from './options/command-line.ts';
import type { OptionDefs, CommonOptions } from './options/option-def.ts';
import { jsonPieces, toJson } from './render/json.ts';
import { styleFor, type Style } from './render/style.ts';

/** One run of a command: its arguments, and its outputs. */
export class Session<D extends OptionDefs = OptionDefs> implements Disposable {
  readonly line: CommandLine<D & CommonOptions>;
  readonly #json: boolean;
  readonly #quiet: boolean;
  #interruption: Interruption | undefined;

  constructor(line: CommandLine<D & CommonOptions>) {
    this.line = line;
    this.#json = line.flag('json');
    this.#quiet = line.flag('quiet');
  }

  /**
   * Aborted by SIGINT, SIGTERM and SIGHUP. A command that reads this signal promises to clean up. These signals kill a
   * command that does not read it, as they kill any process.
   */
  get signal(): AbortSignal {
    this.#interruption ??= new Interruption();
    return this.#interruption.signal;
  }

  /** The reason why the command was told to stop; undefined when it was not. */
  get interrupted(): unknown {
    return this.#interruption?.signal.aborted === true ? this.#interruption.signal.reason : undefined;
  }

  /** The terminal, if there is one on which a line may be rewritten. */
  get terminal(): NodeJS.WriteStream | undefined {
    const { stderr } = process;
    return stderr.isTTY && !this.#quiet && process.env['TERM'] !== 'dumb' ? stderr : undefined;
  }

  /** Prints a line beside the result, on stderr. */
  note(render: (style: Style) => string): void {
    if (!this.#quiet) process.stderr.write(`${render(styleFor(process.stderr))}\n`);
  }

  /** Prints the result: one object with --json, else lines for people. */
  print(result: object, render: (style: Style) => readonly string[], exitCode: number = EXIT.done): void {
    process.exitCode = exitCode;
    if (this.#json) process.stdout.write(`${toJson(result)}\n`);
    else if (!this.#quiet) process.stdout.write(`${render(styleFor(process.stdout)).join('\n')}\n`);
  }

  /**
   * Does the same as `print`, for a result that may be too large for one string. An iterable in it is an array in JSON.
   */
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
    const { stdout } = process;
    for (const piece of jsonPieces(result)) {
      // The reader may be gone; `main` hears of that, too.
      if (stdout.destroyed) return;
      if (!stdout.write(piece)) await once(stdout, 'drain').catch(() => undefined);
    }
    stdout.write('\n');
  }

  [Symbol.dispose](): void {
    this.#interruption?.[Symbol.dispose]();
  }
}
