import type { OpenSource } from './open-source.ts';

/** A source for somebody who closes it at the end, while it stays open for its owner. */
export function keptSource(source: OpenSource): OpenSource {
  const { name, size, kind, allocated, storage, overlay, until } = source;
  return {
    name,
    size,
    allocated,
    ...(kind === undefined ? {} : { kind }),
    storage,
    overlay,
    get file() {
      return source.file;
    },
    read: (offset, length) => source.read(offset, length),
    readInto: (bytes, offset) => source.readInto(bytes, offset),
    until: until === undefined ? undefined : (signal) => keptSource(until.call(source, signal)),
    close: keepOpen,
    [Symbol.asyncDispose]: keepOpen,
  };
}

async function keepOpen(): Promise<void> {}
