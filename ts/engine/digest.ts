import { addAbortListener } from 'node:events';

import { MappedRamError } from '../errors.ts';
import { binding, toMappedRamError } from './binding.ts';
import type { ByteRange } from '../stream/reader.ts';
import type { TransferFile } from './transfer.ts';

/** Length of a digest in bytes. */
export const DIGEST_BYTES = 32;

/** The BLAKE3 of bytes at hand. */
export function digestBytes(bytes: Uint8Array): Uint8Array {
  return binding().digestBytes(bytes);
}

/**
 * The BLAKE3 of stretches of a file, one after the other.
 * @throws the signal's reason when aborted
 * @throws {MappedRamError} ERR_MAPPED_RAM_IO; ERR_MAPPED_RAM_TRUNCATED when the file ends before a stretch does
 */
export async function digestRanges(
  file: TransferFile,
  ranges: readonly ByteRange[],
  signal?: AbortSignal,
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const bounds = ranges.flatMap(({ offset, length }) => [offset, offset + length]);
  const { BindingRangeDigest } = binding();
  const native = new BindingRangeDigest(file.path, file.fd, file.name, bounds);
  const listener = signal === undefined ? undefined : addAbortListener(signal, () => native.cancel());
  try {
    const { error, digest } = await native.run();
    signal?.throwIfAborted();
    if (error !== undefined) throw toMappedRamError(error);
    if (digest === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INTERNAL', 'the engine gave neither digest nor error');
    }
    return digest;
  } finally {
    listener?.[Symbol.dispose]();
  }
}
