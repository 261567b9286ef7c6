import { MappedRamError } from '../errors.ts';
import { checkMigrationAddress } from './check-migration-address.ts';
import { invalid, Members } from './members.ts';
import type { MigrationAddress, MigrationChannel, QapiMigrationAddress } from './migration-address.ts';

/**
 * The `channels` argument of QMP's `migrate` and `migrate-incoming` for one address (docs/format.md §5, QEMU 8.2 and
 * later). JSON can say all that an address says.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when it is no address, or `defer`, which QMP does not know
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an offset above 2^53-1, which JSON.stringify cannot write
 */
export function toMigrationChannels(address: MigrationAddress): [MigrationChannel] {
  return [{ 'channel-type': 'main', addr: checkQapiAddress(address, 'address') }];
}

/**
 * The address of a `channels` argument that has one main channel, as `migrate-incoming` wants it.
 *
 * The check is stricter than the types: `filename` and `offset` are both mandatory, the offset is an integer from 0 to
 * 2^53-1, ports are strings, and a member that QEMU 10.0 does not know is refused, as QMP does.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming the member that is missing, unknown or wrong
 * @throws {MappedRamError} ERR_MAPPED_RAM_OUT_OF_RANGE for an offset that is not within 0 to 2^53-1
 */
export function fromMigrationChannels(channels: readonly MigrationChannel[]): QapiMigrationAddress {
  const list: unknown = channels;
  if (!Array.isArray(list)) throw invalid('channels', 'bad channels', 'an array', list);
  if (list.length !== 1) {
    throw invalid('channels', 'bad channels', 'exactly one channel', `${list.length} channels`);
  }
  const channel = new Members(list[0], 'channels[0]');
  const type = channel.take('channel-type');
  if (type !== 'main') throw invalid('channels[0].channel-type', 'bad channels', '"main"', type);
  const address = checkQapiAddress(channel.take('addr'), 'channels[0].addr');
  channel.expectNoOthers();
  return address;
}

function checkQapiAddress(value: unknown, path: string): QapiMigrationAddress {
  const address = checkMigrationAddress(value, path);
  if (address.transport === 'defer') {
    throw invalid(
      `${path}.transport`,
      'defer is for -incoming only',
      'a transport of QMP',
      address.transport,
    );
  }
  if (address.transport === 'file' && typeof address.offset === 'bigint') {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the offset is too large', {
      path: `${path}.offset`,
      expected: `at most ${Number.MAX_SAFE_INTEGER}`,
      found: String(address.offset),
    });
  }
  return address;
}
