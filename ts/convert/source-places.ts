import { MappedRamError } from '../errors.ts';
import type { PlainStream } from '../stream/read/plain-stream.ts';

/** An error about the stream without its page records, told with the places that the source has. */
export function inSource(error: MappedRamError, stream: PlainStream): MappedRamError {
  const { code, shortMessage, path, expected, found, cause } = error;
  const place = (offset: number | undefined): number | undefined =>
    offset === undefined ? undefined : stream.sourceOffset(offset);
  return new MappedRamError(code, shortMessage, {
    path,
    offset: place(error.offset),
    sectionOffset: place(error.sectionOffset),
    expected,
    found,
    cause,
  });
}
