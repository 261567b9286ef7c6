import { assertOptions, assertTexts } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { assertTransferWords } from '../engine/engine-options.ts';
import { assertWord, assertWords } from '../io/option-words.ts';
import { SWITCHES } from '../negotiate/request.ts';
import { assertMemoryKind } from './command-line/memory-kind.ts';
import { assertPostcopyOptions } from './postcopy/postcopy-options.ts';
import type { Mode } from './modes/mode.ts';
import { ASKED, type AskedOptions, type LoadOptions, type PrepareOptions } from './options.ts';
import { AFTER_RESTORE } from './run-state.ts';

/**
 * Checks the words among the options of a restore. An unknown word would let a guest run that is to stay stopped.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a word that its option does not take
 */
export function assertRestoreWords(options: LoadOptions & PrepareOptions): void {
  assertWords(options, { after: AFTER_RESTORE, multifd: SWITCHES, directIo: SWITCHES, fdset: SWITCHES });
  if (typeof options.channels === 'string') assertWord('channels', options.channels, ['auto']);
  const { transfer = {}, workingSet, postcopy, memory } = options;
  if (postcopy !== undefined) assertPostcopyOptions(postcopy);
  if (memory !== undefined) assertMemoryKind(memory);
  assertWorkingSet(workingSet);
  assertOptions(transfer, 'transfer');
  assertTransferWords(transfer, 'transfer.');
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for an option `workingSet` that says nothing */
export function assertWorkingSet(workingSet: PrepareOptions['workingSet']): void {
  if (workingSet === undefined) return;
  if (typeof workingSet === 'string') {
    assertWord('workingSet', workingSet, ['auto', 'off']);
    return;
  }
  assertOptions(workingSet, 'workingSet');
  assertTexts('workingSet.path', [workingSet.path]);
}

/**
 * Refuses options that have no meaning in the mode.
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
 * Refuses options that apply only when QEMU reads the mapped-ram file.
 * @param why the reason why QEMU does not read it
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
