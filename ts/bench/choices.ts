import { probe } from '../engine/probe.ts';
import { MappedRamError } from '../errors.ts';
import { inWords } from '../io/in-words.ts';
import type { CheckedBenchOptions } from './bench-options.ts';
import type { BenchWork } from './figures.ts';
import { findBenchQemu } from './others/bench-qemu.ts';
import { assertTransferPossible } from './ours/assert-transfer.ts';
import { whyNoRestore } from './restore/restore-contenders.ts';
import { fixedSettings, sweepSettings } from './sweep/sweep-settings.ts';

/** The works in which QEMU takes part. */
const QEMU_WORKS: readonly BenchWork[] = ['save', 'load', 'restore'];

/**
 * Refuses explicit choices that cannot be had on this machine, before anything is made. What nobody has asked for is
 * left out where it cannot be had, with its reason in the report.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a `qemu` that cannot take part, and a sweep of nothing;
 * ERR_MAPPED_RAM_ENGINE_UNAVAILABLE, ERR_MAPPED_RAM_DIRECT_IO_UNAVAILABLE; the signal's reason
 */
export async function assertChoices(
  { qemu, work, transfer, sweep, signal }: CheckedBenchOptions,
  directory: string,
): Promise<void> {
  const found = probe(directory);
  assertTransferPossible(transfer, directory, found);
  if (sweep && sweepSettings(transfer, found.ioUring.available).length < 2) {
    throw refused(
      'sweep of the bench: all settings are given',
      'one of channels, queueDepth, requestSize and ioEngine to be tried',
      Object.keys(fixedSettings(transfer)).join(', '),
    );
  }
  if (qemu !== undefined) await assertQemu(qemu, work, directory, signal);
}

/** A QEMU that was asked for takes part; the usual one is left out where it cannot. */
async function assertQemu(
  binary: string,
  work: readonly BenchWork[],
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const wanted = work.filter((kind) => QEMU_WORKS.includes(kind));
  if (wanted.length === 0) {
    const expected = `one of ${QEMU_WORKS.join(', ')} among the works, as QEMU takes part in no other`;
    throw refused('qemu of the bench', expected, work.join(', '));
  }
  const found = await findBenchQemu(binary, directory, signal);
  const restoresOnly = wanted.every((kind) => kind === 'restore');
  const why = 'why' in found ? found.why : restoresOnly ? whyNoRestore(found.target) : undefined;
  if (why !== undefined) throw refused(`qemu of the bench: ${why}`, 'a QEMU 9.0 or later', inWords(binary));
}

function refused(words: string, expected: string, found: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', words, { expected, found });
}
