import { MappedRamError } from '../errors.ts';
import type { Mode } from './modes/mode.ts';
import type { AskedOptions, ModeOption } from './options.ts';

/**
 * What was asked for of each option, by the names that errors call it. `auto`, and `off` where it is what happens, are no
 * demands.
 */
const ASKED: Readonly<Record<ModeOption, (options: AskedOptions) => Readonly<Record<string, boolean>>>> = {
  multifd: ({ multifd }) => ({ multifd: multifd === 'on' }),
  channels: ({ channels = 'auto' }) => ({ channels: channels !== 'auto' }),
  directIo: ({ directIo }) => ({ directIo: directIo === 'on' }),
  ramDirectory: ({ ramDirectory }) => ({ ramDirectory: ramDirectory !== undefined }),
  transfer: ({ transfer: { channels, queueDepth, requestSize, ioEngine = 'auto', directIo } = {} }) => ({
    'transfer.channels': channels !== undefined,
    'transfer.queueDepth': queueDepth !== undefined,
    'transfer.requestSize': requestSize !== undefined,
    'transfer.ioEngine': ioEngine !== 'auto',
    'transfer.directIo': directIo === 'on',
  }),
};

/**
 * Refuses what is asked for and has no meaning in the mode.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming the mode and each such option
 */
export function assertOptionsFor(
  mode: Pick<Mode, 'name' | 'options' | 'whyNoOthers'>,
  options: AskedOptions,
): void {
  const used: readonly string[] = mode.options;
  const unused = askedFor(options).filter(({ option }) => !used.includes(option));
  if (unused.length === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `mode ${mode.name} has no use for ${namesOf(unused)}: ${mode.whyNoOthers}`,
  );
}

/**
 * Refuses what only QEMU's reading of the mapped-ram file has.
 * @param why QEMU is not to read it
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED naming each such option
 */
export function assertStreamOptions({ multifd, channels, directIo }: AskedOptions, why: string): void {
  const unused = askedFor({ multifd, channels: channels === 1 ? undefined : channels, directIo });
  if (unused.length === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `${namesOf(unused)} cannot be had: the guest goes to QEMU as a plain stream, through one channel and the page cache; ${why}`,
  );
}

interface Asked {
  readonly option: string;
  readonly name: string;
}

function askedFor(options: AskedOptions): readonly Asked[] {
  return Object.entries(ASKED).flatMap(([option, ask]) =>
    Object.entries(ask(options)).flatMap(([name, isAsked]) => (isAsked ? [{ option, name }] : [])),
  );
}

function namesOf(asked: readonly Asked[]): string {
  return asked.map(({ name }) => name).join(', ');
}
