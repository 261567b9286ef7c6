import type { TransferOptions } from '../engine/transfer-options.ts';
import type { SavePlan } from '../negotiate/plan.ts';
import type { SaveOptions } from './save-options.ts';

/** The engine's options in a save, as the plan decided and the caller asked. */
export function engineTransfer(
  { channels, directIo }: SavePlan,
  { queueDepth, requestSize, ioEngine, directIo: asked, signal }: SaveOptions,
): TransferOptions {
  return {
    channels: channels.value,
    directIo: directIo.value ? (asked ?? 'auto') : 'off',
    queueDepth,
    requestSize,
    ioEngine,
    signal,
  };
}
