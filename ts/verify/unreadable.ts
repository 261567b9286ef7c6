import { composeMessage, MappedRamError } from '../errors.ts';
import type { Finding } from './finding.ts';

/**
 * An error met while reading at a place in the snapshot, as a finding; undefined for errors that say nothing about the
 * file, such as that it cannot be opened.
 */
export function unreadableFinding(error: unknown): Finding | undefined {
  if (!(error instanceof MappedRamError) || error.offset === undefined) return undefined;
  if (error.code !== 'ERR_MAPPED_RAM_IO' && error.code !== 'ERR_MAPPED_RAM_TRUNCATED') return undefined;
  const { shortMessage, offset, sectionOffset, expected, found, cause } = error;
  const message = composeMessage(shortMessage, { sectionOffset, expected, found, cause });
  return { severity: 'error', code: 'unreadable', message, offset };
}
