import { MappedRamError } from '../errors.ts';
import type { PlainStream } from '../stream/read/plain-stream.ts';

/** Restates an error about the stream without its page records: the places in it become those of the source. */
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
