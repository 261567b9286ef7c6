import { MappedRamError } from '../errors.ts';
import type { PlainRamIndex, StreamHead, StreamIndex } from '../stream/stream-index.ts';

/**
 * The RAM of a device state.
 * @param path the state's name in errors
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a stream of another form
 */
export function plainRam({ ram }: StreamHead, path: string): PlainRamIndex {
  if (ram?.form === 'plain') return ram;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the device state has the wrong form', {
    path,
    expected: 'a plain file: migration',
    found: ram === undefined ? 'a stream without RAM' : 'a mapped-ram file',
  });
}

/**
 * The RAM of a device state that must be whole.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INCOMPLETE; as `plainRam`
 */
export function completePlainRam(state: StreamIndex, path: string): PlainRamIndex {
  const { problem } = state;
  if (problem === undefined) return plainRam(state, path);
  throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', 'the device state is not complete', {
    cause: problem,
  });
}
