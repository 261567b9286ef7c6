import { MappedRamError, bareMessage } from '../errors.ts';
import type { PlainStream } from '../stream/read/plain-stream.ts';

/** An error about the stream without its page records, told with the places that the source has. */
export function inSource(error: MappedRamError, stream: PlainStream): MappedRamError {
  const { code, path, expected, found, cause } = error;
  const words = bareMessage(error).replace(
    /\(at (\d+)\)/,
    (_, at) => `(at ${stream.sourceOffset(Number(at))})`,
  );
  const offset = error.offset === undefined ? undefined : stream.sourceOffset(error.offset);
  return new MappedRamError(code, words, { path, offset, expected, found, cause });
}
