import { MappedRamError } from '../errors.ts';
import { examineQemu, type FindQemuOptions } from '../qemu/process/find-qemu.ts';
import type { Mode } from './modes/mode.ts';
import { MODES, type RestoreMode } from './modes/modes.ts';

/** The failure of a start in a mode that QEMU does not have. It stays within `restore`: callers get the refusal. */
export class ModeUnavailable extends Error {
  readonly refusal: MappedRamError;
  /** The refusal's words. */
  readonly words: string;
  /** The first mode that QEMU has. */
  readonly alternative: RestoreMode | undefined;

  constructor(refusal: MappedRamError, words: string, alternative: RestoreMode | undefined) {
    super(words);
    this.words = words;
    this.refusal = refusal;
    this.alternative = alternative;
  }
}

/**
 * Finds out why QEMU did not start. A QEMU that lacks what the mode needs says only that it does not know some property
 * of the command line. Nobody asks it for its properties before a start, because that costs as much as the start
 * itself.
 *
 * @param error the failure of the start
 * @throws `ModeUnavailable` when this QEMU does not have the mode, with ERR_MAPPED_RAM_UNSUPPORTED; else `error`
 */
export async function explainStart(error: unknown, mode: Mode, options: FindQemuOptions): Promise<never> {
  options.signal?.throwIfAborted();
  if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_QEMU') throw error;
  const { finding, facts } = await examineQemu(options);
  if (facts === undefined) throw error;
  const answerOf = (candidate: Mode): ReturnType<Mode['isPossibleOn']> =>
    candidate.isPossibleOn(process.platform, facts.features);
  const { possible, why } = answerOf(mode);
  if (possible) throw error;
  const others = MODES.filter((other) => answerOf(other).possible).map(({ name }) => name);
  const words = `mode ${mode.name} cannot be had: ${why}; ask for ${others.join(' or ')}`;
  const refusal = new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', words, {
    path: finding.path,
    cause: error,
  });
  throw new ModeUnavailable(refusal, words, others[0]);
}
