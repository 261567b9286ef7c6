export { ERROR_CODES, MappedRamError, type ErrorCode, type ErrorContext } from './errors.ts';
export type { BlockInfo, SectionInfo, SnapshotInfo } from './snapshot/info.ts';
export { pack, type PackOptions, type PackResult } from './snapshot/pack.ts';
export type { RamLocation } from './snapshot/ram-location.ts';
export { Snapshot, type SnapshotSource } from './snapshot/snapshot.ts';
export type { SnapshotTarget } from './snapshot/snapshot-output.ts';
export { unpack, type UnpackOptions, type UnpackResult } from './snapshot/unpack.ts';
export type {
  DirectIo,
  EngineChoice,
  TransferOptions,
  TransferProgress,
  TransferReport,
} from './transfer/options.ts';
export { probe, type DirectIoProbe, type IoUringProbe, type Probe } from './transfer/probe.ts';
export {
  formatMigrationUri,
  fromMigrationChannels,
  parseMigrationUri,
  toMigrationChannels,
  type MigrationAddress,
  type MigrationChannel,
} from './uri/index.ts';
