import { dropUndefined, invalid, Members } from './members.ts';
import type { InetSocketAddress, MigrationAddress } from './migration-address.ts';

type Check = (members: Members) => MigrationAddress;

const TRANSPORTS: ReadonlyMap<unknown, Check> = new Map<unknown, Check>([
  ['file', (from) => ({ transport: 'file', filename: from.text('filename'), offset: from.uint64('offset') })],
  ['exec', (from) => ({ transport: 'exec', args: from.texts('args') })],
  ['rdma', (from) => ({ transport: 'rdma', ...takeInet(from) })],
  ['defer', () => ({ transport: 'defer' })],
]);

const SOCKET_TYPES: ReadonlyMap<unknown, Check> = new Map<unknown, Check>([
  ['inet', (from) => ({ transport: 'socket', type: 'inet', ...takeInet(from) })],
  [
    'unix',
    (from) =>
      dropUndefined({
        transport: 'socket',
        type: 'unix',
        path: from.text('path'),
        abstract: from.optionalFlag('abstract'),
        tight: from.optionalFlag('tight'),
      }),
  ],
  [
    'vsock',
    (from) => ({ transport: 'socket', type: 'vsock', cid: from.text('cid'), port: from.text('port') }),
  ],
  ['fd', (from) => ({ transport: 'socket', type: 'fd', str: from.text('str') })],
]);

/**
 * Checks that `value` has the shape of a MigrationAddress, no member too many, and returns a copy. The copy leaves out
 * members that are undefined, and has the offset as a number where one is exact. Lengths and contents of texts are not
 * judged.
 *
 * @param path the value's name in errors, for instance `channels[0].addr`
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when a member is missing, unknown or of the wrong type
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an offset that is negative, above 2^64-1, or a number above
 *   2^53-1 (use a bigint)
 */
export function checkMigrationAddress(value: unknown, path: string): MigrationAddress {
  const members = new Members(value, path);
  const transport = members.take('transport');
  const check = transport === 'socket' ? socketCheck(members, path) : TRANSPORTS.get(transport);
  if (check === undefined)
    throw unknownKind(`${path}.transport`, ['socket', ...TRANSPORTS.keys()], transport);
  const address = check(members);
  members.expectNoOthers();
  return address;
}

function socketCheck(members: Members, path: string): Check {
  const type = members.take('type');
  const check = SOCKET_TYPES.get(type);
  if (check === undefined) throw unknownKind(`${path}.type`, [...SOCKET_TYPES.keys()], type);
  return check;
}

function unknownKind(path: string, known: readonly unknown[], found: unknown): Error {
  return invalid(path, 'bad address', `one of ${known.join(', ')}`, found);
}

function takeInet(from: Members): InetSocketAddress {
  return dropUndefined({
    host: from.text('host'),
    port: from.text('port'),
    numeric: from.optionalFlag('numeric'),
    to: from.optionalUint16('to'),
    ipv4: from.optionalFlag('ipv4'),
    ipv6: from.optionalFlag('ipv6'),
    'keep-alive': from.optionalFlag('keep-alive'),
    mptcp: from.optionalFlag('mptcp'),
  });
}
