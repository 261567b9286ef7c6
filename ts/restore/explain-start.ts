import { MappedRamError } from '../errors.ts';
import { examineQemu, type FindQemuOptions } from '../qemu/find-qemu.ts';
import type { Mode } from './modes/mode.ts';
import { MODES } from './modes/modes.ts';

/**
 * Finds out why QEMU did not start. A QEMU that lacks what the mode needs says only that it does not know some property
 * of the command line. Nobody asks such questions before a start, because they cost as much as the start itself.
 *
 * @param error the failure of the start
 * @returns never
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when this QEMU does not have the mode; else `error`
 */
export async function explainStart(error: unknown, mode: Mode, options: FindQemuOptions): Promise<never> {
  options.signal?.throwIfAborted();
  if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_QEMU') throw error;
  const { finding, facts } = await examineQemu(options);
  if (facts === undefined) throw error;
  const { possible, why } = mode.isPossibleOn(process.platform, facts.features);
  if (possible) throw error;
  const { features } = facts;
  const others = MODES.filter((other) => other.isPossibleOn(process.platform, features).possible);
  const names = others.map(({ name }) => name).join(' or ');
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `mode ${mode.name} cannot be had with QEMU ${finding.version}: ${why}; use ${names}`,
    { path: finding.path, cause: error },
  );
}
