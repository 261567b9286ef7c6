import { MappedRamError } from '../errors.ts';
import { checkMigrationAddress } from './check-migration-address.ts';
import type { InetSocketAddress, MigrationAddress } from './migration-address.ts';
import { byteLength, PORT_BYTES } from './parse-inet.ts';
import { EXEC_SHELL, OFFSET_MARK, parseMigrationUri } from './parse-migration-uri.ts';

/**
 * Writes an address as the URI that means it to every QEMU from 9.0 on: `parseMigrationUri` gives the same address back
 * (docs/format.md §5). An offset of 0 is left out.
 *
 * Some addresses have no URI and only go through `channels` (toMigrationChannels): file names with `,offset=` in them,
 * commands that are not one line for `/bin/sh -c`, abstract unix sockets, `numeric`.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for an address that no URI expresses, with the reason
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT or ERR_MAPPED_RAM_OUT_OF_RANGE when it is no address
 */
export function formatMigrationUri(address: MigrationAddress): string {
  const checked = checkMigrationAddress(address, 'address');
  const uri = write(checked);
  const reason = reasonAgainst(checked);
  if (reason !== undefined) throw inexpressible(uri, reason);
  if (!isSame(parseMigrationUri(uri), checked)) {
    throw inexpressible(uri, 'QEMU would read this URI as a different address');
  }
  return uri;
}

function write(address: MigrationAddress): string {
  if (address.transport === 'file') {
    return `file:${address.filename}${address.offset === 0 ? '' : `${OFFSET_MARK}${address.offset}`}`;
  }
  if (address.transport === 'exec') return `exec:${address.args.at(-1) ?? ''}`;
  if (address.transport === 'rdma') return `rdma:${writeInet(address)}`;
  if (address.transport === 'defer') return 'defer';
  if (address.type === 'inet') return `tcp:${writeInet(address)}`;
  if (address.type === 'unix') return `unix:${address.path}`;
  if (address.type === 'vsock') return `vsock:${address.cid}:${address.port}`;
  return `fd:${address.str}`;
}

function writeInet(address: InetSocketAddress): string {
  const { host, port, to } = address;
  const bracketed = host.includes(':') || host.startsWith('[');
  const flags = (['ipv4', 'ipv6', 'keep-alive', 'mptcp'] as const).map((name) => {
    const value = address[name];
    return value === undefined ? '' : `,${name}=${value ? 'on' : 'off'}`;
  });
  return `${bracketed ? `[${host}]` : host}:${port}${to === undefined ? '' : `,to=${to}`}${flags.join('')}`;
}

/**
 * The reason why a URI that QEMU would accept means something else. The parser explains a URI that QEMU would refuse.
 */
function reasonAgainst(address: MigrationAddress): string | undefined {
  if (address.transport === 'file') {
    return address.filename.includes(OFFSET_MARK)
      ? `the file name contains "${OFFSET_MARK}", where a file: URI ends the name`
      : undefined;
  }
  if (address.transport === 'exec') {
    return isSame(address.args.slice(0, -1), EXEC_SHELL)
      ? undefined
      : `an exec: URI always runs ${EXEC_SHELL.join(' ')} with one command line`;
  }
  if (address.transport === 'rdma') return reasonAgainstInet(address);
  if (address.transport === 'defer') return undefined;
  if (address.type === 'inet') return reasonAgainstInet(address);
  if (address.type === 'vsock') return address.cid.includes(':') ? 'the CID contains a colon' : undefined;
  if (address.type === 'fd') return undefined;
  return address.abstract === undefined && address.tight === undefined
    ? undefined
    : 'a unix: URI has no options';
}

function reasonAgainstInet(address: InetSocketAddress): string | undefined {
  if (address.numeric !== undefined) return 'a URI has no option numeric before QEMU 10.1';
  if (address.port.includes(',')) return 'the port contains a comma, which begins the options';
  return byteLength(address.port) > PORT_BYTES ? `QEMU cuts the port after ${PORT_BYTES} bytes` : undefined;
}

/** Tells whether two addresses, or parts of them, have the same members with the same values. */
function isSame(left: unknown, right: unknown): boolean {
  if (typeof left !== 'object' || left === null || typeof right !== 'object' || right === null) {
    return left === right;
  }
  const members = new Map(Object.entries(right));
  const others = Object.entries(left);
  return (
    others.length === members.size &&
    others.every(([name, value]) => members.has(name) && isSame(value, members.get(name)))
  );
}

function inexpressible(uri: string, reason: string): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_URI',
    `no URI says this address: ${reason}; pass the address to QEMU through channels instead`,
    { path: uri },
  );
}
