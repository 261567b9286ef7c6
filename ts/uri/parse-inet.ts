import { invalidUri } from './invalid-uri.ts';
import { dropUndefined } from './members.ts';
import type { InetSocketAddress } from './migration-address.ts';
import { C_BLANKS } from './parse-size.ts';

/** Bytes of UTF-8 that QEMU keeps of a host and of a port. */
const HOST_BYTES = 64;
export const PORT_BYTES = 32;

const TO = new RegExp(`^${C_BLANKS}([+-]?)(\\d+)(?=,|$)`);
const INT64_MAX = 2n ** 63n - 1n;
const INT64_DIGITS = 19;

interface HostAndPort {
  readonly host: string;
  readonly port: string;
  /** Index in the text behind the port. */
  readonly end: number;
}

/**
 * Reads `HOST:PORT[,OPTION…]` from `start` to the end of `uri`, by the rules of QEMU 9.0 to 10.0 (docs/format.md §5):
 *
 * - `:PORT` has an empty host, `[HOST]:PORT` one that may hold colons; else the host ends at the first colon.
 * - The port is everything up to the next comma; QEMU drops what exceeds 32 bytes, without a word.
 * - The first mention of an option counts, in any order; a flag without value is on.
 * - Unknown options are ignored. QEMU 10.1 and later refuse them.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI
 */
export function parseInet(uri: string, start: number): InetSocketAddress {
  const { host, port, end } = parseHostAndPort(uri, start);
  return dropUndefined({
    host,
    port,
    to: parseTo(uri, end),
    ipv4: parseFlag(uri, end, 'ipv4'),
    ipv6: parseFlag(uri, end, 'ipv6'),
    'keep-alive': parseFlag(uri, end, 'keep-alive'),
    mptcp: parseFlag(uri, end, 'mptcp'),
  });
}

/** Length in bytes of UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function parseHostAndPort(uri: string, start: number): HostAndPort {
  if (uri[start] === ':') return { host: '', ...parsePort(uri, start + 1) };
  const bracketed = uri[start] === '[';
  const hostStart = bracketed ? start + 1 : start;
  const hostEnd = uri.indexOf(bracketed ? ']' : ':', hostStart);
  if (hostEnd === -1) throw invalidUri(uri, uri.length, 'bad address', bracketed ? '"]"' : '":" and a port');
  const host = uri.slice(hostStart, hostEnd);
  if (host === '') throw invalidUri(uri, hostEnd, 'bad address', 'a host between the brackets');
  if (byteLength(host) > HOST_BYTES) {
    throw invalidUri(uri, hostStart, 'bad address', `a host of at most ${HOST_BYTES} bytes`);
  }
  const colon = bracketed ? hostEnd + 1 : hostEnd;
  if (uri[colon] !== ':') throw invalidUri(uri, colon, 'bad address', '":" and a port');
  return { host, ...parsePort(uri, colon + 1) };
}

function parsePort(uri: string, start: number): { readonly port: string; readonly end: number } {
  const comma = uri.indexOf(',', start);
  const whole = uri.slice(start, comma === -1 ? uri.length : comma);
  if (whole === '') throw invalidUri(uri, start, 'bad address', 'a port');
  let port = '';
  let bytes = 0;
  for (const character of whole) {
    if (bytes === PORT_BYTES) break;
    bytes += byteLength(character);
    // QEMU would keep half of this character; no string can hold that.
    if (bytes > PORT_BYTES)
      throw invalidUri(uri, start, 'bad address', `a port of at most ${PORT_BYTES} bytes`);
    port += character;
  }
  return { port, end: start + port.length };
}

function parseTo(uri: string, optionsStart: number): number | undefined {
  const at = uri.indexOf(',to=', optionsStart);
  if (at === -1) return undefined;
  const valueStart = at + ',to='.length;
  const match = TO.exec(uri.slice(valueStart));
  if (match === null)
    throw invalidUri(uri, valueStart, 'bad option to', 'an integer, then a comma or the end');
  const [, sign = '', digits = ''] = match;
  return toUint16(sign === '-', digits);
}

/** The value that an integer has behind C's 64-bit long (saturating) and QAPI's uint16 (wrapping). */
function toUint16(negative: boolean, digits: string): number {
  const significant = digits.replace(/^0+/, '');
  const exact = significant.length > INT64_DIGITS ? INT64_MAX + 1n : BigInt(significant);
  const magnitude = negative || exact <= INT64_MAX ? exact : INT64_MAX;
  return Number(BigInt.asUintN(16, negative ? -magnitude : magnitude));
}

function parseFlag(uri: string, optionsStart: number, name: string): boolean | undefined {
  const at = uri.indexOf(`,${name}`, optionsStart);
  if (at === -1) return undefined;
  const valueStart = at + 1 + name.length;
  const comma = uri.indexOf(',', valueStart);
  const value = uri.slice(valueStart, comma === -1 ? uri.length : comma);
  const doubled = comma !== -1 && uri[comma + 1] === ',';
  if (!doubled && (value === '' || value === '=on')) return true;
  if (!doubled && value === '=off') return false;
  throw invalidUri(
    uri,
    valueStart,
    `bad option ${name}`,
    '"=on", "=off" or nothing, then one comma or the end',
  );
}
