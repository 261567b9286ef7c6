import type { TransferOptions } from '../engine/transfer-options.ts';
import { MappedRamError } from '../errors.ts';
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

/**
 * Refuses options of the engine where QEMU writes.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT that names the option
 */
export function assertEngineOptions(
  { writer, target }: SavePlan,
  { ioEngine, queueDepth, requestSize, seal }: SaveOptions,
): void {
  const idle = Object.entries({
    ioEngine: ioEngine === 'auto' ? undefined : ioEngine,
    queueDepth,
    requestSize,
    seal: seal === true || undefined,
  });
  const [name] = idle.find(([, value]) => value !== undefined) ?? [];
  if (writer.value === 'engine' || name === undefined) return;
  const hint = name === 'seal' ? '; what QEMU has written is sealed afterwards, with verify --seal' : '';
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `${name} is an option of the writer engine, but QEMU would write: ${writer.why}${hint}`,
    { path: target.path },
  );
}
