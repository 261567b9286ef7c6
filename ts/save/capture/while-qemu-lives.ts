import { MappedRamError } from '../../errors.ts';
import type { QmpClient } from '../../qmp/client.ts';

/**
 * Waits for work in the memory of QEMU's process. Memory that cannot be read any more may be that of a QEMU which is gone:
 * its end then is the error, and not what the kernel says about an address.
 * @throws {MappedRamError} as {@link QmpClient.execute} when QEMU is gone; else what the work throws
 */
export async function whileQemuLives<T>(qmp: QmpClient, work: T | Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof MappedRamError) await qmp.execute('query-status');
    throw error;
  }
}
