import { MappedRamError, messageOf } from '../../errors.ts';
import type { SaveOptions } from '../save-options.ts';

const marked = new WeakSet<MappedRamError>();
/** Codes of a device state that does not divide into sections in exactly one way. */
const CODES: ReadonlySet<string> = new Set(['ERR_MAPPED_RAM_CORRUPT', 'ERR_MAPPED_RAM_UNSUPPORTED']);

/** Marks the error of a device state that cannot be read, and returns it. Other errors stay as they are. */
export function unreadableState(error: unknown): unknown {
  if (error instanceof MappedRamError && CODES.has(error.code)) marked.add(error);
  return error;
}

/**
 * Handles the error of a save: lets QEMU's own writer do what could not be done by taking a guest out of its process,
 * where nobody asked for that. Device state has bytes that a guest chooses, and they may look like the beginning of
 * another section. QEMU's writer has no such trouble.
 *
 * @param save the same save with other options
 */
export function orLeaveToQemu<Result extends { readonly warnings: readonly string[] }>(
  options: SaveOptions,
  save: (options: SaveOptions) => Promise<Result>,
): (error: unknown) => Promise<Result> {
  const { writer = 'auto', base = 'none', seal, ioEngine, queueDepth, requestSize, maxCopyMemory } = options;
  const asked = [seal === true || undefined, ioEngine, queueDepth, requestSize, maxCopyMemory];
  const isFree = writer === 'auto' && base === 'none' && asked.every((value) => value === undefined);
  return async (error) => {
    if (!isFree || !(error instanceof MappedRamError) || !marked.has(error)) throw error;
    const saved = await save({ ...options, writer: 'qemu' });
    const words = `QEMU has written the guest, which stood still twice: its device state alone could not be read: ${messageOf(error)}`;
    return { ...saved, warnings: [words, ...saved.warnings] };
  };
}
