import { probe, type Probe } from '../../engine/probe.ts';
import { assertTransferWords } from '../../engine/engine-options.ts';
import { MappedRamError } from '../../errors.ts';
import { assertOptions } from '../../io/assert-options.ts';
import { inWords } from '../../io/in-words.ts';
import type { BenchTransfer } from './job.ts';

/** What the engine takes for a number, from `least` to `most` in steps of `step`, and the words for that. */
interface Range {
  readonly least: number;
  readonly most: number;
  readonly step: number;
  readonly words: string;
}

const RANGES: Readonly<Record<'channels' | 'queueDepth' | 'requestSize', Range>> = {
  channels: { least: 1, most: 64, step: 1, words: 'a whole number from 1 to 64' },
  queueDepth: { least: 1, most: 256, step: 1, words: 'a whole number from 1 to 256' },
  requestSize: {
    least: 4096,
    most: 16 * 2 ** 20,
    step: 4096,
    words: 'bytes, a multiple of 4096 from 4096 to 16777216',
  },
};
const NAMES: readonly string[] = [...Object.keys(RANGES), 'ioEngine', 'directIo'];

/**
 * Checks the options of moving pages that a bench is given. The engine would find a wrong number only after files were
 * made, and would not see a misspelled name at all.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertBenchTransfer(transfer: BenchTransfer): void {
  assertOptions(transfer, 'transfer');
  for (const name of Object.keys(transfer)) {
    if (!NAMES.includes(name)) throw refused('transfer', `an object with only ${NAMES.join(', ')}`, name);
  }
  assertTransferWords(transfer, 'transfer.');
  for (const [name, { least, most, step, words }] of Object.entries(RANGES)) {
    const value: unknown = Reflect.get(transfer, name);
    if (value === undefined) continue;
    const fits = typeof value === 'number' && value >= least && value <= most && value % step === 0;
    if (!fits) throw refused(`transfer.${name}`, words, inWords(value));
  }
}

function refused(name: string, expected: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', name, { expected, found });
}

/**
 * Refuses an I/O engine or direct I/O that was asked for and is not to be had in a directory.
 * @throws {MappedRamError} ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE
 */
export function assertTransferPossible(
  transfer: BenchTransfer,
  directory: string,
  found: Probe = probe(directory),
): void {
  const { ioUring, directIo } = found;
  if (transfer.ioEngine === 'io_uring' && !ioUring.available) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_ENGINE_UNAVAILABLE',
      'the bench cannot have the I/O engine io_uring',
      { found: ioUring.why ?? 'there is no io_uring' },
    );
  }
  if (transfer.directIo === 'on' && !directIo.available) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE',
      'the bench cannot have direct I/O in its directory',
      { path: directory, found: directIo.why ?? 'the directory has no direct I/O' },
    );
  }
}
