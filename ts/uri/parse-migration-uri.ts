import { invalidUri, UNUSABLE, USABLE } from './invalid-uri.ts';
import type { MigrationAddress, VsockMigrationAddress } from './migration-address.ts';
import { byteLength, parseInet, PORT_BYTES } from './parse-inet.ts';
import { parseSize, toNumberIfSafe } from './parse-size.ts';

/** The text that separates the name from the offset in a `file:` URI. Its first occurrence counts. */
export const OFFSET_MARK = ',offset=';

/** QEMU hands the command of `exec:` to this shell (docs/format.md §5; on Windows hosts to cmd.exe instead). */
export const EXEC_SHELL: readonly [string, string] = ['/bin/sh', '-c'];

const DEFER = 'defer';

type Parser = (uri: string, start: number) => MigrationAddress;

const PARSERS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ['file', parseFile],
  ['tcp', (uri, start) => ({ transport: 'socket', type: 'inet', ...parseInet(uri, start) })],
  ['unix', (uri, start) => ({ transport: 'socket', type: 'unix', path: restOf(uri, start, 'a path') })],
  ['vsock', parseVsock],
  [
    'fd',
    (uri, start) => ({ transport: 'socket', type: 'fd', str: restOf(uri, start, "a descriptor's name") }),
  ],
  ['exec', (uri, start) => ({ transport: 'exec', args: [...EXEC_SHELL, uri.slice(start)] })],
  ['rdma', (uri, start) => ({ transport: 'rdma', ...parseInet(uri, start) })],
]);

/**
 * The transport that `text` names, if it begins like a migration URI: lower case, nothing before it. `defer` is a
 * transport only when it is the whole text.
 */
export function schemeOf(text: string): string | undefined {
  if (text === DEFER) return DEFER;
  return [...PARSERS.keys()].find((scheme) => text.startsWith(`${scheme}:`));
}

/**
 * Reads a migration URI as QEMU's `migrate`, `migrate-incoming` and `-incoming` do (docs/format.md §5); `defer` only
 * exists for `-incoming`. It accepts what the parsers of QEMU 9.0 to 10.0 accept, whether or not such a place can be
 * opened. It refuses text that is no Unicode string for QEMU: a NUL, or half of a surrogate pair.
 *
 * The offset of a `file:` URI is a number up to 2^53-1 and a bigint above.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI with the position, what was expected and what was found
 */
export function parseMigrationUri(uri: string): MigrationAddress {
  const unusable = uri.search(UNUSABLE);
  if (unusable !== -1) throw invalidUri(uri, unusable, 'bad migration URI', USABLE);
  const scheme = schemeOf(uri);
  if (scheme === DEFER) return { transport: DEFER };
  const parse = PARSERS.get(scheme ?? '');
  if (scheme === undefined || parse === undefined) {
    throw invalidUri(uri, 0, 'unknown migration protocol', `${[...PARSERS.keys()].join(':, ')}: or ${DEFER}`);
  }
  return parse(uri, scheme.length + 1);
}

/** Tells whether a text is a `file:` URI that gives an offset, be it 0. A path gives none, whatever it looks like. */
export function givesOffset(uriOrPath: string): boolean {
  return schemeOf(uriOrPath) === 'file' && offsetMarkIn(uriOrPath, 'file:'.length) !== -1;
}

/** Finds the mark before the offset; -1 when there is none. */
function offsetMarkIn(uri: string, start: number): number {
  return uri.indexOf(OFFSET_MARK, start);
}

function parseFile(uri: string, start: number): MigrationAddress {
  const mark = offsetMarkIn(uri, start);
  if (mark === -1) return { transport: 'file', filename: uri.slice(start), offset: 0 };
  const offset = parseSize(uri, mark + OFFSET_MARK.length);
  return { transport: 'file', filename: uri.slice(start, mark), offset: toNumberIfSafe(offset) };
}

function parseVsock(uri: string, start: number): VsockMigrationAddress {
  const colon = uri.indexOf(':', start);
  if (colon === -1) throw invalidUri(uri, uri.length, 'bad address', '":" and a port');
  const cid = uri.slice(start, colon);
  const port = uri.slice(colon + 1);
  const limit = `of 1 to ${PORT_BYTES} bytes`;
  if (cid === '' || byteLength(cid) > PORT_BYTES)
    throw invalidUri(uri, start, 'bad address', `a CID ${limit}`);
  const comma = uri.indexOf(',', colon);
  if (comma !== -1) throw invalidUri(uri, comma, 'bad address', 'no comma: vsock has no options');
  if (port === '' || byteLength(port) > PORT_BYTES) {
    throw invalidUri(uri, colon + 1, 'bad address', `a port ${limit}`);
  }
  return { transport: 'socket', type: 'vsock', cid, port };
}

function restOf(uri: string, start: number, expected: string): string {
  if (start === uri.length) throw invalidUri(uri, start, 'bad address', expected);
  return uri.slice(start);
}
