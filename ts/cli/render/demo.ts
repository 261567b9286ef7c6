import type { DemoResult, DemoStep } from '../../demo/demo-options.ts';
import type { TransferReport } from '../../engine/transfer-options.ts';
import type { Session } from '../session.ts';
import { keyValues } from './columns.ts';
import { formatCount, formatDuration, formatRate, formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

const STEP_WIDTH = 46;

/** Makes the demo's table: the product's face. */
export function demoLines(result: DemoResult, style: Style): readonly string[] {
  const { size, sizeWhy, save, load, generation, snapshot } = result;
  return [
    '',
    ...keyValues(
      [
        ['guest', guestOf(result)],
        ...smaller(sizeWhy),
        ['memory', `${formatSize(size)} in ${printable(result.memoryDirectory)}`],
        ['pages', `${formatCount(result.pages)}, of which ${formatCount(result.zeroPages)} are zero`],
        ['snapshot in', printable(result.directory)],
        ['I/O engine', `${style('bold', save.ioEngine)} — ${printable(save.ioEngineWhy)}`],
        ['direct I/O', `${style('bold', save.directIo ? 'on' : 'off')} — ${printable(save.directIoWhy)}`],
        ['channels', `${save.channels} to save, ${load.channels} to load`],
        ['save', rate(save, style)],
        ['load', rate(load, style)],
        ...(result.qemuLoadMs === undefined
          ? []
          : [['restore', `${formatDuration(result.qemuLoadMs)} for QEMU to load our snapshot`] as const]),
        ...(generation === undefined
          ? []
          : [
              [
                'generation',
                `${generation.saved} when saved → ${generation.resumed} after the restore: it went on`,
              ] as const,
            ]),
      ],
      style,
    ),
    '',
    ...result.checks.map(({ title, verified, difference }) =>
      verified
        ? `${style('green', 'verified')}  ${title}`
        : `${style('red', 'NOT verified')}  ${title}: ${printable(difference ?? '')}`,
    ),
    ...(snapshot === undefined
      ? []
      : [
          '',
          `The snapshot is ${printable(snapshot)}`,
          `Look into it: mapped-ram info ${printable(snapshot)}`,
        ]),
  ];
}

function guestOf({ mode, modeWhy, qemu }: DemoResult): string {
  if (mode === 'qemu')
    return `the built-in one, in QEMU ${qemu?.version} (${qemu?.accelerator.toUpperCase()})`;
  return `none, synthetic memory: ${printable(modeWhy ?? 'there is no QEMU')}`;
}

function smaller(reason: string | undefined): readonly (readonly [string, string])[] {
  if (reason === undefined) return [];
  return [['', 'smaller than asked:'], ...reason.split('; ').map((why) => ['', printable(why)] as const)];
}

function rate({ dataBytes, elapsedMs }: TransferReport, style: Style): string {
  return `${style('bold', formatRate(dataBytes, elapsedMs))} — ${formatSize(dataBytes)} of pages in ${formatDuration(elapsedMs)}`;
}

/** Lines on stderr: one for each finished step of the demo, and on a terminal also one for the running step. */
export class StepLines implements Disposable {
  readonly #session: Session;
  #pending = false;

  constructor(session: Session) {
    this.#session = session;
  }

  readonly update = ({ title, elapsedMs }: DemoStep): void => {
    this.#erase();
    if (elapsedMs === undefined) {
      this.#pending = this.#rewrite(`  … ${title}`);
    } else {
      const time = formatDuration(elapsedMs).padStart(8);
      this.#session.note(
        (style) => `  ${style('green', '✓')} ${title.padEnd(STEP_WIDTH)}${style('dim', time)}`,
      );
    }
  };

  [Symbol.dispose](): void {
    this.#erase();
  }

  #erase(): void {
    if (this.#pending) this.#rewrite('');
    this.#pending = false;
  }

  /** Replaces the terminal's current line by a text. Returns false without a terminal. */
  #rewrite(text: string): boolean {
    return this.#session.terminal?.write(`\r${text}\u001B[K`) !== undefined;
  }
}
