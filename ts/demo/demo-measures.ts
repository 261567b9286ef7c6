import { MappedRamError } from '../errors.ts';
import type { UnpackResult } from '../pack/unpack.ts';
import type { TransferReport } from '../engine/transfer-options.ts';
import type { DemoResult } from './demo-options.ts';

/** What a demo measured. */
export type DemoMeasures = Pick<DemoResult, 'save' | 'load'> &
  Partial<Pick<DemoResult, 'qemuLoadMs' | 'generation'>>;

/** The report of an unpack that was asked for RAM. */
export function transferOf({ transfer, path }: UnpackResult): TransferReport {
  if (transfer !== undefined) return transfer;
  throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'RAM was unpacked without a transfer', { path });
}
