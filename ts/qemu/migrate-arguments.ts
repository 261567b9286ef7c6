import { MappedRamError } from '../errors.ts';
import { formatMigrationUri } from '../uri/format-migration-uri.ts';
import type { MigrationAddress, MigrationChannel } from '../uri/migration-address.ts';
import { toMigrationChannels } from '../uri/migration-channels.ts';
import { parseMigrationUri } from '../uri/parse-migration-uri.ts';

/** The address, as QMP's migrate and migrate-incoming take it. */
export type AddressArguments = { readonly uri: string } | { readonly channels: readonly MigrationChannel[] };

/**
 * Turns an address into arguments for QEMU. A URI is used where one expresses the address, because every QEMU
 * understands it the same way; otherwise `channels` (QEMU 8.2 and later). A text is passed on only when it is a
 * migration URI: some other texts, such as `rdma:` without a host, kill QEMU.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI for a text that is no migration URI;
 *   ERR_MAPPED_RAM_INVALID_ARGUMENT and ERR_MAPPED_RAM_OUT_OF_RANGE as `toMigrationChannels`
 */
export function migrateArguments(address: string | MigrationAddress): AddressArguments {
  if (typeof address !== 'string') return hasUri(address);
  // The check is all that is wanted of the result. QEMU gets the caller's text: QEMU before 8.2 takes nothing else, and
  // later ones read the text as the parser does.
  parseMigrationUri(address);
  return { uri: address };
}

function hasUri(address: MigrationAddress): AddressArguments {
  try {
    return { uri: formatMigrationUri(address) };
  } catch (error) {
    if (error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_INVALID_URI') {
      return { channels: toMigrationChannels(address) };
    }
    throw error;
  }
}
