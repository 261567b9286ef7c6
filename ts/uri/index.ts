/**
 * `mapped-ram/uri`: QEMU's migration URIs and the `channels` that say the same (docs/format.md §5). Pure: it runs in a
 * browser as it does in Node.
 */
export {
  ERROR_CODES,
  MappedRamError,
  type ErrorCode,
  type ErrorContext,
  type MigrationInfo,
  type MigrationRamInfo,
  type QmpErrorReply,
  type RuleRefusal,
} from '../errors.ts';
export { formatMigrationUri } from './format-migration-uri.ts';
export type {
  DeferMigrationAddress,
  ExecMigrationAddress,
  FdMigrationAddress,
  FdSocketAddress,
  FileMigrationAddress,
  FileMigrationArgs,
  InetMigrationAddress,
  InetSocketAddress,
  MigrationAddress,
  MigrationChannel,
  MigrationExecCommand,
  QapiMigrationAddress,
  RdmaMigrationAddress,
  UnixMigrationAddress,
  UnixSocketAddress,
  VsockMigrationAddress,
  VsockSocketAddress,
} from './migration-address.ts';
export { fromMigrationChannels, toMigrationChannels } from './migration-channels.ts';
export { parseFdset } from './parse-fdset.ts';
export { type FileTarget, parseFileTarget } from './parse-file-target.ts';
export { parseMigrationUri } from './parse-migration-uri.ts';
export { parseSize } from './parse-size.ts';
