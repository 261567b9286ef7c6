import { MappedRamError } from '../errors.ts';
import { inWords } from '../io/in-words.ts';
import { QmpClient } from './client.ts';

/**
 * Checks that a caller's connection is one.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function assertClient(qmp: unknown): void {
  if (qmp instanceof QmpClient) return;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the connection to QEMU', {
    expected: 'a QmpClient',
    found: inWords(qmp),
  });
}
